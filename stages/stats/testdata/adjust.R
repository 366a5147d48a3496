# Reference values for the tests of stages/stats/adjust.go, from R's p.adjust.
#
# How they were got (R 4.2, Debian's r-base-core):
#
#     Rscript adjust.R > adjust.csv
#
# The first set is table 1 of Benjamini and Hochberg, "Controlling the False
# Discovery Rate" (JRSS B 57, 1995), the thrombolysis example of their section 4.1.
set.seed(20240229)
sets <- list(
  c(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
  c(0.01, 0.02, 0.03, 0.04, 0.05),
  c(0.04, 0.01, 0.04, 0.5, 0.01), # ties, in no order
  c(0, 1),
  0.3,
  signif(runif(40)^2, 6)
)
cat("set,p,holm,BH\n")
for (i in seq_along(sets)) {
  p <- sets[[i]]
  cat(sprintf("%d,%.15g,%.15g,%.15g\n", i, p, p.adjust(p, "holm"), p.adjust(p, "BH")), sep = "")
}
