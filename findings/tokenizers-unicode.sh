#!/bin/sh
# tokenizers 0.23.3 (Hugging Face): one text meets four versions of Unicode.
#
# Punctuation, marks and controls of BERT's steps come from tables of Unicode 8, the normal forms from 9, regular
# expressions from 16 and lower case from 17. So a punctuation mark of 2016 is part of a word and a digit of 2024 is a
# digit, NFKC leaves the Japanese era of 2019 alone, and one block of ideographs begins at 2B920, not at 2B820 as BERT's
# own code has it.
#
# Why it hurts: who writes a tokenizer after the specification, with the tables of one version, gives other tokens for
# some lines of any corpus with new characters, and a newer table makes it worse. Models were trained on the library's.
#
# Seen 2026-11-28, Python 3.11, linux/amd64:
#   U+2E43, punctuation since Unicode 9, is split off: False
#   U+2E42, punctuation since Unicode 7, is split off: True
#   U+116D0, a digit since Unicode 16, is \p{N}: True
#   U+32FF, of Unicode 12.1, under NFKC: unchanged
#   U+10D50 (Unicode 16) in lower case: U+10D70
#   U+2B820 is an ideograph: False, U+2B920: True
set -eu
command -v python3 >/dev/null || { echo "needs python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/v" >/dev/null 2>&1 && "$dir/v/bin/pip" install -q tokenizers==0.23.3 >/dev/null 2>&1 || { echo "needs the package"; exit 77; }
"$dir/v/bin/python" - <<'EOF'
import sys
from tokenizers import Regex, normalizers as n, pre_tokenizers as p

def split(c, by):
    return len(by.pre_tokenize_str("a" + c + "a")) > 1

new, old = split("\u2e43", p.Punctuation()), split("\u2e42", p.Punctuation())
digit = split("\U000116d0", p.Split(Regex(r"\p{N}"), "isolated"))
era = n.NFKC().normalize_str("\u32ff") == "\u32ff"
low = n.Lowercase().normalize_str("\U00010d50")
bert = n.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
first, later = (bert.normalize_str(c) != c for c in ("\U0002b820", "\U0002b920"))
print("U+2E43, punctuation since Unicode 9, is split off:", new)
print("U+2E42, punctuation since Unicode 7, is split off:", old)
print("U+116D0, a digit since Unicode 16, is \\p{N}:", digit)
print("U+32FF, of Unicode 12.1, under NFKC:", "unchanged" if era else "changed")
print("U+10D50 (Unicode 16) in lower case: U+%X" % ord(low))
print(f"U+2B820 is an ideograph: {first}, U+2B920: {later}")
if (new, old, digit, era, low, first, later) != (False, True, True, True, "\U00010d70", False, True):
    sys.exit("CHANGED")
EOF
