"""The figure that notebooks/figure2 draws, as pandas and matplotlib draw it: the
ECDF of each level with its DKW-Massart band, for the effective n, in the same
four formats. Reads samples.csv, writes below the folder named second."""
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

data, out = sys.argv[1:3]
samples = pd.read_csv(data + "/samples.csv", usecols=["level", "replicate", "latency_ns", "utilisation"])
fig, ax = plt.subplots(figsize=(85 / 25.4, 58 / 25.4))
rows = []
for level, group in samples.groupby("level"):
    x = np.sort(group["latency_ns"].to_numpy())
    n = len(x)
    lag = np.nanmean([np.corrcoef(v[:-1], v[1:])[0, 1] for _, v in group.groupby("replicate")["latency_ns"]])
    effective = n * (1 - lag) / (1 + lag) if lag > 0 else n
    eps = np.sqrt(np.log(2 / 0.05) / (2 * max(effective, 1)))
    y = np.arange(1, n + 1) / n
    ax.fill_between(x / 1e6, np.maximum(y - eps, 0), np.minimum(y + eps, 1), step="post", alpha=0.15)
    ax.step(x / 1e6, y, where="post", label=f"L={level} ({group['utilisation'].mean():.0%})")
    rows.append(pd.DataFrame({"series": level, "latency_ns": x, "ecdf": y, "lower": np.maximum(y - eps, 0), "upper": np.minimum(y + eps, 1)}))
ax.set(xlabel="Inference time (ms)", ylabel="Empirical CDF", ylim=(0, 1))
ax.legend(fontsize=6)
for ext in ("svg", "pdf", "png"):
    fig.savefig(f"{out}/figure2.{ext}", dpi=300)
pd.concat(rows).to_csv(f"{out}/figure2.csv", index=False)
