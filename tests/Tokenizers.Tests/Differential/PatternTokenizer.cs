using System.Text.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>
/// Files whose ids show what a pattern matches: the bytes of the matches, of the text between them, or the number of pieces.
/// </summary>
internal static class PatternTokenizer
{
    private static readonly string _bytes = JsonSerializer.Serialize(Enumerable.Range(0, 0x144).Select(c => (char)c)
        .Where(c => ByteAlphabet.ByteOf(c) >= 0).ToDictionary(c => c.ToString(), c => ByteAlphabet.ByteOf(c)));

    public static string[] FilesOf(string pattern) =>
    [
        Create(pattern, "Removed", invert: false, countPieces: false),
        Create(pattern, "Removed", invert: true, countPieces: false),
        Create(pattern, "Isolated", invert: false, countPieces: true),
    ];

    private static string Create(string pattern, string behavior, bool invert, bool countPieces)
    {
        string split = $$$"""
            {"type":"Split","pattern":{"Regex":{{{JsonSerializer.Serialize(pattern)}}}},"behavior":"{{{behavior}}}",
            "invert":{{{(invert ? "true" : "false")}}}}
            """;
        string preTokenizer = countPieces ? split : $$$"""
            {"type":"Sequence","pretokenizers":[{{{split}}},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}
            """;
        return Create(preTokenizer, countPieces);
    }

    /// <summary>A file whose ids are the bytes of the text after a pre-tokenizer.</summary>
    public static string WithPreTokenizer(string preTokenizer) => Create(preTokenizer, countPieces: false);

    private static string Create(string preTokenizer, bool countPieces)
    {
        string model = countPieces ? """ "unk_token":"<unk>","fuse_unk":true,"vocab":{"<unk>":0} """
            : $$$""" "unk_token":null,"fuse_unk":false,"vocab":{{{_bytes}}} """;
        return $$$"""
            {"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":{{{preTokenizer}}},
            "post_processor":null,"decoder":null,"model":{"type":"BPE","dropout":null,"continuing_subword_prefix":null,
            "end_of_word_suffix":null,"byte_fallback":false,"ignore_merges":false,"merges":[],{{{model}}}}}
            """;
    }
}
