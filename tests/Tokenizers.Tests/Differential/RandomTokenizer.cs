using System.Text.Json.Nodes;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Random tokenizer.json files of all models with random stages, as the Rust library accepts them.</summary>
internal sealed class RandomTokenizer(Random random)
{
    private static readonly string[] _addedTokens =
        ["<s>", "</s>", "[CLS]", "[SEP]", "<x>", "cat", "The", "é", "日本", "<pad>", "##", "World"];

    private static readonly string[] _words =
    [
        "the", "The", "hello", "Hello", "world", "don", "it", "ab", "abc", "cat", "dog", "12", "2024", "nt", "ll", "Привет", "мир", "中文",
        "日本",
        "한국", "é", "ü", "🙂", "שלום",
    ];

    /// <summary>Creates a file. The tokens that the post-processor adds are in the vocabulary.</summary>
    public JsonObject Next()
    {
        var stages = new RandomStages(random);
        bool isByteLevel = random.Next(3) == 0;
        JsonObject model = random.Next(isByteLevel ? 1 : 5) switch
        {
            0 or 1 => Bpe(isByteLevel),
            2 => Unigram(),
            3 => WordPiece(),
            _ => WordLevel(),
        };
        JsonObject root = new()
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = AddedTokens(),
            ["normalizer"] = random.Next(3) == 0 ? null : stages.Normalizer(),
            ["pre_tokenizer"] = isByteLevel ? stages.ByteLevelPreTokenizer() : random.Next(4) == 0 ? null : stages.PreTokenizer(),
            ["post_processor"] = random.Next(2) == 0 ? null : stages.PostProcessor(),
            ["decoder"] = isByteLevel ? JsonNode.Parse(RandomStages.ByteLevel(random)) : random.Next(4) == 0 ? null : stages.Decoder(),
            ["model"] = model,
        };
        // Tokens with the same normalized text are found in no fixed order.
        if (root["normalizer"]?.ToJsonString().Contains("Regex", StringComparison.Ordinal) == true)
            foreach (var token in root["added_tokens"]!.AsArray()) token!["normalized"] = false;
        return root;
    }

    private JsonArray AddedTokens()
    {
        var result = new JsonArray();
        string[] contents = [.. _addedTokens.OrderBy(_ => random.Next()).Take(random.Next(0, 7))];
        foreach (string content in contents.Order(StringComparer.Ordinal))
            result.Add(new JsonObject
            {
                ["id"] = 1000 + result.Count,
                ["content"] = content,
                ["single_word"] = random.Next(4) == 0,
                ["lstrip"] = random.Next(4) == 0,
                ["rstrip"] = random.Next(4) == 0,
                ["normalized"] = random.Next(2) == 0,
                ["special"] = random.Next(2) == 0,
            });
        return result;
    }

    private List<string> Alphabet(bool isByteLevel)
    {
        if (isByteLevel)
            return [.. Enumerable.Range(0, 0x144).Select(c => (char)c).Where(c => ByteAlphabet.ByteOf(c) >= 0).Select(c => c.ToString())];
        List<string> runes = [.. "abcdefghijklmnopqrstuvwxyzABCDEFGHTW0123456789.,!?'-#<>/▁ \n".Select(c => c.ToString()),
            "é", "e", "\u0301", "П", "р", "и", "в", "т", "м", "中", "文", "日", "本", "한", "국", "🙂", "ש", "ל", "ו", "ם", "ü"];
        return [.. runes.Distinct().Where(_ => random.Next(8) > 0)];
    }

    private JsonObject Bpe(bool isByteLevel)
    {
        string prefix = !isByteLevel && random.Next(6) == 0 ? "##" : "", suffix = !isByteLevel && random.Next(6) == 0 ? "</w>" : "";
        List<string> tokens = ["<s>", "</s>", "<unk>", "[CLS]", "[SEP]"];
        bool byteFallback = !isByteLevel && random.Next(3) == 0;
        if (byteFallback) tokens.AddRange(Enumerable.Range(0, random.Next(5) == 0 ? 200 : 256).Select(b => $"<0x{b:X2}>"));
        var alphabet = Alphabet(isByteLevel);
        tokens.AddRange(alphabet);
        if (suffix.Length > 0) tokens.AddRange(alphabet.Select(c => c + suffix));
        if (prefix.Length > 0) tokens.AddRange(alphabet.Select(c => prefix + c));
        if (suffix.Length > 0 && prefix.Length > 0) tokens.AddRange(alphabet.Select(c => prefix + c + suffix));

        // Merges that build words and random pairs; a result that exists already keeps its id.
        var merges = new List<(string, string)>();
        var known = tokens.ToHashSet();
        foreach (string word in _words.OrderBy(_ => random.Next()))
        {
            string text = isByteLevel ? ToBytes((random.Next(2) == 0 ? " " : "") + word) : (random.Next(2) == 0 ? "▁" : "") + word;
            var pieces = text.EnumerateRunes().Select((rune, i) => (i > 0 ? prefix : "") + rune).ToList();
            if (suffix.Length > 0) pieces[^1] += suffix;
            while (pieces.Count > 1 && pieces.TrueForAll(known.Contains))
            {
                int at = random.Next(pieces.Count - 1);
                string merged = pieces[at] + pieces[at + 1][prefix.Length..];
                merges.Add((pieces[at], pieces[at + 1]));
                if (known.Add(merged)) tokens.Add(merged);
                pieces[at] = merged;
                pieces.RemoveAt(at + 1);
            }
        }
        return new JsonObject
        {
            ["type"] = "BPE",
            ["dropout"] = null,
            ["unk_token"] = random.Next(3) == 0 ? null : "<unk>",
            ["continuing_subword_prefix"] = prefix.Length > 0 ? prefix : null,
            ["end_of_word_suffix"] = suffix.Length > 0 ? suffix : null,
            ["fuse_unk"] = random.Next(2) == 0,
            ["byte_fallback"] = byteFallback,
            ["ignore_merges"] = random.Next(4) == 0,
            ["vocab"] = Vocabulary(tokens.Distinct()),
            ["merges"] = new JsonArray([.. merges.Distinct().Select(merge => new JsonArray(merge.Item1, merge.Item2))]),
        };
    }

    private static string ToBytes(string text)
    {
        var source = TestTokenizers.ToAlignedText(text);
        var result = source.Rewrite();
        ByteAlphabet.Append(source, new TextSpan(0, source.Length), result);
        return result.Chars.ToString();
    }

    private JsonObject Unigram()
    {
        bool byteFallback = random.Next(3) == 0;
        List<string> tokens = ["<unk>", "<s>", "</s>", "[CLS]",
        "[SEP]", .. Alphabet(false), .. _words, .. _words.Select(word => "▁" + word)];
        if (byteFallback) tokens.AddRange(Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"));
        return new JsonObject
        {
            ["type"] = "Unigram",
            ["unk_id"] = 0,
            ["vocab"] = new JsonArray([.. tokens.Distinct().Select(token => new JsonArray(token, -random.NextDouble() * 12))]),
            ["byte_fallback"] = byteFallback,
        };
    }

    private JsonObject WordPiece()
    {
        var alphabet = Alphabet(false);
        List<string> tokens = ["[UNK]", "[CLS]", "[SEP]", "<s>", "</s>", .. alphabet, .. alphabet.Select(c => "##" + c), .. _words,
            "##s", "##ing", "##lo", "##ld", "##24"];
        return new JsonObject
        {
            ["type"] = "WordPiece",
            ["unk_token"] = "[UNK]",
            ["continuing_subword_prefix"] = "##",
            ["max_input_chars_per_word"] = random.Next(3) == 0 ? 5 : 100,
            ["vocab"] = Vocabulary(tokens.Distinct()),
        };
    }

    private JsonObject WordLevel() => new()
    {
        ["type"] = "WordLevel",
        ["vocab"] = Vocabulary(((IEnumerable<string>)["<unk>", "<s>", "</s>", "[CLS]", "[SEP]", .. _words, .. Alphabet(false)]).Distinct()),
        ["unk_token"] = "<unk>",
    };

    private static JsonObject Vocabulary(IEnumerable<string> tokens)
    {
        JsonObject vocabulary = [];
        foreach (string token in tokens) vocabulary[token] = vocabulary.Count;
        return vocabulary;
    }
}
