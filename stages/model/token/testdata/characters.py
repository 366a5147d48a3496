"""Computes characters.json: which characters Hugging Face's tokenizers (0.23.3) puts into
which class, as ranges, and what it makes of them, as a SHA-256 of all that change.

    python3 characters.py > characters.json
"""
import hashlib
import json

from tokenizers import Regex, normalizers as N, pre_tokenizers as P

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(inside):
    out = []
    for c in map(ord, filter(inside, ALL)):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def splits(p):
    return lambda c: len(p.pre_tokenize_str("\0" + c + "\0")) > 1


def removes(n):
    return lambda c: n.normalize_str("a" + c) == "a"


def changes(n):
    h = hashlib.sha256()
    for c in ALL:
        after = n.normalize_str("a" + c)[1:]
        if after != c:
            h.update(("%x %s\n" % (ord(c), " ".join("%x" % ord(x) for x in after))).encode())
    return h.hexdigest()


def bert(**on):
    return N.BertNormalizer(**{**dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False), **on})


def matches(regex):
    return splits(P.Split(Regex(regex), "isolated"))


print(json.dumps({
    "classes": {"punctuation": ranges(splits(P.Punctuation())), "mark": ranges(removes(N.StripAccents())), "numeric": ranges(splits(P.Digits(individual_digits=True))),
                "letter": ranges(matches(r"\p{L}")), "number": ranges(matches(r"\p{N}")), "space": ranges(matches(r"\s")), "word": ranges(splits(P.Whitespace()))},
    "changes": {"clean": changes(bert(clean_text=True)), "chinese": changes(bert(handle_chinese_chars=True)), "accents": changes(bert(strip_accents=True)), "lower": changes(N.Lowercase()),
                "NFC": changes(N.NFC()), "NFD": changes(N.NFD()), "NFKC": changes(N.NFKC()), "NFKD": changes(N.NFKD())},
}, separators=(",", ":")))
