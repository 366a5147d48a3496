"""Computes tokens.json: texts that are hard to tokenise, and the tokens that Hugging
Face's tokenizers (0.23.3) gives for them.

    python3 tokens.py MODEL_FOLDER/tokenizer.json > tokens.json
"""
import json
import sys

import tokenizers

TEXTS = [
    "", "x", "Hello, World!", "  leading and trailing  ", "tab\there\u00a0nbsp\u200bzwsp\u3000ideographic", "\u0000nul \ufffd repl \u202ertl",
    "naïve café Ünïcödé ÅNGSTRÖM", "e\u0301 vs \u00e9, A\u030a vs Å", "emoji 😀👩‍👩‍👧‍👦 🇩🇪 test", "中文字符测试 and english", "日本語テキスト ひらがな カタカナ",
    "한국어 텍스트", "العربية نص", "हिन्दी पाठ", "Tiếng Việt Nguyễn", "\U00020000\U0002a6d6 rare", "ﬁne ligature ½ ² ™ Ⅷ ① ㎏", "𝕳𝖊𝖑𝖑𝖔 𝟘",
    "ǅ Ǆ ß ẞ İ ı Σας", "\u0130stanbul I\u0307", "Zalgo H̵̛e̶l̷l̸o", "soft\u00adhyphen", "a" * 150, "don't it's U.S.A. $3.50 x_y-z",
    "1234567890 3.14159", "http://example.com/a?b=c&d=e#f", "---===***///\\\\||", "line\rend\vtab\ffeed\u0085next\u2028para\x1cfile",
]

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
tokenizer.no_padding()
tokenizer.no_truncation()
print("[\n" + ",\n".join(json.dumps({"text": t, "ids": tokenizer.encode(t).ids}) for t in TEXTS) + "\n]")
