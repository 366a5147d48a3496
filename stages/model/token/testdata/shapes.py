"""Computes shapes.json.gz: small tokenizers of the shapes that models ship with, trained
here on the words below, and what Hugging Face's library makes of lines of text.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    python3 shapes.py > shapes.json.gz

With a folder for an argument it writes each tokenizer and its results for lines.json,
a list of texts, there.
"""
import gzip
import json
import os
import random
import sys
import tempfile

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import models as M, normalizers as N, pre_tokenizers as P, processors as R, trainers

random.seed(13)
WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you
were her all she there would their we him been has when who will more no if out so said what up its about into than them can only
other new some could time these two may then do first any my now such like our over man me even most made after also did many before
must through great job harp song tired shovel naïve café straße über señor quick brown fox jumps lazy dog hello world text token
12 345 2024 3.14 привет мир 中文 字符 测试 日本語 テキスト ひらがな 한국어 العربية हिन्दी ไทย Việt""".split()
CORPUS = [" ".join(random.choice(WORDS) for _ in range(12)) + random.choice([".", "!", "?", ", it's", " don't"]) for _ in range(600)]

# Characters newer than Unicode 15, or than what the library's tables hold.
NEWER = [0x897, 0x1C89, 0x1C8A, 0x2427, 0xA7CB, 0xA7CC, 0xA7DA, 0xA7DC, 0x10D40, 0x10D50, 0x10D70, 0x10D69, 0x113D1, 0x113B8, 0x116D0, 0x16100,
         0x16130, 0x1CC00, 0x1CCF0, 0x1E5D0, 0x1F8B2, 0x1FA89, 0x1FA8F, 0x1FABE, 0x1FAC6, 0x1FADC, 0x1FADF, 0x1FAE9, 0x2EBF0, 0x16EA0,
         0x890, 0x898, 0x8CA, 0x13430, 0x9FD, 0x2E43, 0x111C9, 0x11938, 0x1734, 0x32FF, 0xA7F2, 0x1DF9, 0x2B820, 0x1885, 0x0C3C]
LINES = ["", "x", "Hello, World!", "  leading and trailing  ", "tab\there\u00a0nbsp\u200bzwsp\u3000ideographic", "\u0000nul \ufffd repl \u202ertl",
         "naïve café Ünïcödé ÅNGSTRÖM", "e\u0301 vs \u00e9, A\u030a vs Å", "emoji 😀👩‍👩‍👧‍👦 🇩🇪 test", "中文字符测试 and english",
         "日本語テキスト ひらがな カタカナ", "한국어 텍스트", "العربية نص", "हिन्दी पाठ", "Tiếng Việt Nguyễn", "\U00020000\U0002a6d6 rare",
         "ﬁne ligature ½ ² ™ Ⅷ ① ㎏", "𝕳𝖊𝖑𝖑𝖔 𝟘", "ǅ Ǆ ß ẞ İ ı Σας", "\u0130stanbul I\u0307", "Zalgo H̵̛e̶l̷l̸o", "soft\u00adhyphen", "a" * 150,
         "don't it's U.S.A. $3.50 x_y-z I'LL we'Ve", "1234567890 3.14159", "http://example.com/a?b=c&d=e#f", "---===***///\\\\||",
         "line\rend\vtab\ffeed\u0085next\u2028para\x1cfile", "great🫩 job", "harp🪉 song", "so tired 🫩", "shovel🪏", "[CLS] a [MASK] b [SEP]",
         "<s>hi</s> <unk> <pad>x<mask> y", "<|endoftext|>a<|endoftext|> b", "a  b   c    d", "trailing space ", "\ta", "  ", "   x", "x\n\ny",
         "ﷺ ㍿ ﬀ", "it''s 'tis `` 's", "▁under▁score", " ▁ ", "１２３ ｆｕｌｌ", "a\u0300\u0301\u0327\u0328", "\u0301start", "ÀÉÎõü straße",
         "unbelievable tokens the longest of all of these lines goes on and on, so that it is cut wherever the length ends"]
LINES += ["".join(chr(c) + s for c, s in zip(random.sample(NEWER, 6), ["", " ", "a", ".", " the", "A"])) for _ in range(60)]
LINES += ["".join(chr(random.choice(range(*random.choice([(0x20, 0x250), (0x300, 0x370), (0x600, 0x700), (0x2000, 0x2070), (0x4E00, 0x4E20), (0xAC00, 0xAC40),
          (0x1F300, 0x1F700), (0xFF00, 0xFFF0)])))) if random.random() < 0.5 else random.choice("ab AB'. 1") for _ in range(16)) for _ in range(60)]
LENGTH = 9


def trained(model, trainer, normalizer=None, pre=None):
    t = Tokenizer(model)
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    t.train_from_iterator(CORPUS, trainer)
    return t


def wordpiece(special, unk="[UNK]", lowercase=True, **normal):
    return trained(M.WordPiece(unk_token=unk), trainers.WordPieceTrainer(vocab_size=420, special_tokens=special, show_progress=False),
                   N.BertNormalizer(lowercase=lowercase, **normal), P.BertPreTokenizer())


def bytelevel(special, pre, normalizer=None, **model):
    end = {"end_of_word_suffix": model["end_of_word_suffix"]} if "end_of_word_suffix" in model else {}
    return trained(M.BPE(**model), trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False,
                   initial_alphabet=P.ByteLevel.alphabet(), **end), normalizer, pre)


def unigram(special, normalizer, pre, unk="<unk>"):
    return trained(M.Unigram(), trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token=unk, show_progress=False), normalizer, pre)


def charsmap():
    """A small one of SentencePiece's making."""
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/rules.tsv", "w") as f:
            rules = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": " ", "\u00ad": "", "ﬁ": "fi", "½": "1⁄2",
                     "²": "2", "™": "TM", "①": "1", "e\u0301": "é", "A\u030a": "Å", "ﷺ": "صلى", "㎏": "kg", "１": "1", "２": "2", "𝟘": "0", "…": "..."}
            for a, b in rules.items():
                f.write(" ".join("%X" % ord(c) for c in a) + "\t" + " ".join("%X" % ord(c) for c in b) + "\n")
        with open(d + "/corpus", "w") as f:
            f.write("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(input=d + "/corpus", model_prefix=d + "/m", vocab_size=200, normalization_rule_tsv=d + "/rules.tsv", minloglevel=2)
        from sentencepiece import sentencepiece_model_pb2 as pb
        m = pb.ModelProto()
        m.ParseFromString(open(d + "/m.model", "rb").read())
        return m.normalizer_spec.precompiled_charsmap


CHARSMAP = charsmap()
bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
fair = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)]


def template(t, text, *special):
    return R.TemplateProcessing(single=text, special_tokens=[(s, t.token_to_id(s)) for s in special])


def ends(kind, t, sep, cls):
    return kind((sep, t.token_to_id(sep)), (cls, t.token_to_id(cls)))


def build():
    t = wordpiece(bert)
    t.post_processor = template(t, "[CLS] $A [SEP]", "[CLS]", "[SEP]")
    yield "bert-uncased", t
    t = wordpiece(bert, lowercase=False)
    t.post_processor = ends(R.BertProcessing, t, "[SEP]", "[CLS]")
    t.enable_truncation(512)
    t.enable_padding(pad_id=0, pad_token="[PAD]")
    yield "distilbert-cased", t
    t = wordpiece(bert, lowercase=False, strip_accents=True, handle_chinese_chars=False, clean_text=False)
    t.post_processor = template(t, "[CLS]:0 $A:0 [SEP]:1", "[CLS]", "[SEP]")
    t.enable_truncation(7, direction="left")
    t.enable_padding(direction="left", length=128, pad_id=4, pad_type_id=1)
    yield "electra-left", t
    t = wordpiece(fair + ["[UNK]"])
    t.post_processor = ends(R.RobertaProcessing, t, "</s>", "<s>")
    t.enable_padding(pad_id=1, pad_token="<pad>")
    yield "mpnet", t
    t = bytelevel(["<|endoftext|>"], P.ByteLevel(add_prefix_space=False))
    t.post_processor = R.ByteLevel(trim_offsets=False)
    yield "gpt2", t
    t = bytelevel(fair, P.ByteLevel(add_prefix_space=True))
    t.post_processor = ends(R.RobertaProcessing, t, "</s>", "<s>")
    yield "roberta", t
    t = trained(M.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
                trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)], show_progress=False),
                N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), P.Split("▁", "merged_with_next"))
    t = json.loads(t.to_str())
    t["pre_tokenizer"] = None
    t["added_tokens"] = t["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(t))
    t.post_processor = template(t, "<s> $A", "<s>")
    t.enable_padding(direction="left", pad_id=2, pad_token="</s>")
    yield "llama2", t
    gpt4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    t = bytelevel(["<|begin_of_text|>", "<|end_of_text|>"], P.Sequence([P.Split(Regex(gpt4), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]), ignore_merges=True)
    t.post_processor = R.Sequence([R.ByteLevel(trim_offsets=False), template(t, "<|begin_of_text|> $A", "<|begin_of_text|>")])
    yield "llama3", t
    t = unigram(["<pad>", "</s>", "<unk>"], N.Precompiled(CHARSMAP), P.Metaspace())
    t.post_processor = template(t, "$A </s>", "</s>")
    yield "t5", t
    t = unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", AddedToken("[MASK]", lstrip=True)],
                N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), N.Precompiled(CHARSMAP), N.Replace(Regex(" {2,}"), " ")]),
                P.Sequence([P.WhitespaceSplit(), P.Metaspace(prepend_scheme="always")]))
    t.post_processor = template(t, "[CLS] $A [SEP]", "[CLS]", "[SEP]")
    yield "albert", t
    t = unigram(fair, N.Sequence([N.Precompiled(CHARSMAP), N.Strip(left=False, right=True), N.Replace(Regex(" {2,}"), "▁")]), P.Metaspace(prepend_scheme="first"))
    t.post_processor = template(t, "<s> $A </s>", "<s>", "</s>")
    t.enable_padding(pad_id=1, pad_token="<pad>")
    yield "xlm-roberta", t
    clip = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    t = bytelevel(["<|startoftext|>", AddedToken("<|endoftext|>", normalized=True)], P.Sequence([P.Split(Regex(clip), "removed", invert=True), P.ByteLevel(add_prefix_space=False)]),
                  N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()]),
                  unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False)
    t.post_processor = ends(R.RobertaProcessing, t, "<|endoftext|>", "<|startoftext|>")
    t.enable_truncation(77)
    yield "clip", t
    t = bytelevel(["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"], P.ByteLevel(add_prefix_space=False))
    t.post_processor = template(t, "<|startoftranscript|> <|notimestamps|> $A <|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>")
    yield "whisper", t
    t = unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], N.Sequence([N.Strip(), N.Precompiled(CHARSMAP), N.NFKC()]), P.Sequence([P.Punctuation("isolated"), P.Metaspace(prepend_scheme="always")]), "[UNK]")
    t.post_processor = template(t, "[CLS] $A [SEP]", "[CLS]", "[SEP]")
    yield "deberta", t
    t = bytelevel(["<｜begin▁of▁sentence｜>"], P.Sequence([P.Split(Regex(r"[\r\n]"), "isolated"), P.Split(Regex(r"\s?\p{L}+"), "isolated"), P.Split(Regex(r"\s?\p{P}+"), "isolated"),
                  P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False, use_regex=False)]), N.Sequence([]))
    t.post_processor = template(t, "<｜begin▁of▁sentence｜> $A", "<｜begin▁of▁sentence｜>")
    yield "deepseek", t
    t = trained(M.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<unk>", "</s>"], show_progress=False),
                N.Sequence([N.NFD(), N.StripAccents(), N.Lowercase()]), P.Sequence([P.Whitespace(), P.Digits()]))
    t.add_tokens([AddedToken("Fox", single_word=True), AddedToken("ta", rstrip=True, normalized=False)])
    yield "words", t
    t = bytelevel(["<pad>", "</s>"], P.Sequence([P.Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), "isolated"), P.ByteLevel(add_prefix_space=False, use_regex=False)]))
    t.post_processor = R.ByteLevel(trim_offsets=False)
    yield "bloom", t


def encoded(t, lines):
    t = Tokenizer.from_str(t.to_str())
    t.no_truncation()
    t.no_padding()
    return [t.encode(line).ids for line in lines]


def fitted(t, lines):
    """Cut and filled to LENGTH tokens, as the tokenizer.json says."""
    t = Tokenizer.from_str(t.to_str())
    cut, pad = t.truncation or {"direction": "right", "max_length": LENGTH}, t.padding
    if pad is None:
        names = [n for n in ("[PAD]", "<pad>", "<|endoftext|>", "</s>") if t.token_to_id(n) is not None]
        pad = {"direction": "right", "pad_id": t.token_to_id(names[0]) if names else 0, "pad_type_id": 0}
    t.enable_truncation(min(LENGTH, cut["max_length"]), direction=cut["direction"])
    t.enable_padding(direction=pad["direction"], pad_id=pad["pad_id"], pad_type_id=pad["pad_type_id"], length=LENGTH)
    return [[e.ids, e.attention_mask, e.type_ids] for e in map(t.encode, lines)]


if len(sys.argv) > 1:
    lines = json.load(open("lines.json"))
    for name, t in build():
        os.makedirs(f"{sys.argv[1]}/{name}", exist_ok=True)
        t.save(f"{sys.argv[1]}/{name}/tokenizer.json")
        u = Tokenizer.from_str(t.to_str()); u.no_truncation(); u.no_padding()
        json.dump([[e.ids, e.type_ids] for e in u.encode_batch(lines)], open(f"{sys.argv[1]}/{name}/want.json", "w"))
else:
    all = {"tokenizers": tokenizers.__version__, "lines": LINES, "length": LENGTH, "shapes": [
        {"name": name, "tokenizer": json.loads(t.to_str()), "ids": encoded(t, LINES), "fitted": fitted(t, LINES)} for name, t in build()]}
    sys.stdout.buffer.write(gzip.compress(json.dumps(all, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0))
