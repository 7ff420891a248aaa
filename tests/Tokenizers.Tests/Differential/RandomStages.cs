using System.Text.Json;
using System.Text.Json.Nodes;

namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>Random stages of a tokenizer.json.</summary>
internal sealed class RandomStages(Random random)
{
    private static readonly string[] _behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

    /// <summary>Patterns without empty matches: a replaced empty match can end the process of the library.</summary>
    private static readonly string[] _replaced = [@"\s+", " {2,}", @"\n+", "[0-9]", @"\p{N}{1,3}", "[[:punct:]]", "a++", @"\p{Han}+",
    "(?i:the)"];

    public JsonNode Normalizer() => Sequence("normalizers", () => random.Next(13) switch
    {
        0 => """{"type":"NFC"}""",
        1 => """{"type":"NFD"}""",
        2 => """{"type":"NFKC"}""",
        3 => """{"type":"NFKD"}""",
        4 => """{"type":"Lowercase"}""",
        5 => $$"""{"type":"Strip","strip_left":{{Bool()}},"strip_right":{{Bool()}}}""",
        6 => """{"type":"StripAccents"}""",
        // An added token that is normalized to nothing ends the process of the library: the content is never empty.
        7 => $$"""{"type":"Replace","pattern":{{Pattern(_replaced)}},"content":"{{Pick("▁", "ab", " ")}}"}""",
        8 => """{"type":"Prepend","prepend":"▁"}""",
        9 or 10 => $$"""
            {"type":"BertNormalizer","clean_text":{{Bool()}},"handle_chinese_chars":{{Bool()}},"strip_accents":{{Pick("null", "true",
            "false")}},
            "lowercase":{{Bool()}}}
            """,
        11 => """{"type":"Nmt"}""",
        _ => """{"type":"Replace","pattern":{"String":" "},"content":"▁"}""",
    });

    public JsonNode PreTokenizer() => Sequence("pretokenizers", () => random.Next(13) switch
    {
        0 => """{"type":"Whitespace"}""",
        1 => """{"type":"WhitespaceSplit"}""",
        2 => """{"type":"BertPreTokenizer"}""",
        3 => $$"""{"type":"Digits","individual_digits":{{Bool()}}}""",
        4 => $$"""{"type":"Punctuation","behavior":"{{Pick(_behaviors)}}"}""",
        5 or 6 => $$"""
            {"type":"Metaspace","replacement":"▁","prepend_scheme":"{{Pick("always", "first", "never")}}","split":{{Bool()}}}
            """,
        7 => """{"type":"CharDelimiterSplit","delimiter":"-"}""",
        8 => $$"""{"type":"FixedLength","length":{{random.Next(1, 6)}}}""",
        9 => $$"""{"type":"ByteLevel","add_prefix_space":{{Bool()}},"trim_offsets":true,"use_regex":{{Bool()}}}""",
        _ => $$"""{"type":"Split","pattern":{{Pattern(PublishedPatterns.All)}},"behavior":"{{Pick(_behaviors)}}","invert":{{Bool()}}}""",
    });

    public JsonNode ByteLevelPreTokenizer() => JsonNode.Parse(random.Next(2) == 0 ? ByteLevel(random) : $$"""
        {"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":{{JsonSerializer.Serialize(Pick(PublishedPatterns.All))}}},
        "behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":{{Bool()}},"trim_offsets":true,"use_regex":false}]}
        """)!;

    public static string ByteLevel(Random random) =>
        $$"""{"type":"ByteLevel","add_prefix_space":{{(random.Next(2) == 0 ? "true" : "false")}},"trim_offsets":true,"use_regex":true}""";

    /// <summary>A post-processor with tokens of ids 0 to 4, which all vocabularies have.</summary>
    public JsonNode PostProcessor() => JsonNode.Parse(random.Next(5) switch
    {
        0 => """{"type":"BertProcessing","sep":["</s>",1],"cls":["<s>",0]}""",
        1 => $$"""{"type":"RobertaProcessing","sep":["</s>",1],"cls":["<s>",0],"trim_offsets":{{Bool()}},"add_prefix_space":{{Bool()}}}""",
        2 => ByteLevel(random),
        3 => $$"""{"type":"Sequence","processors":[{{ByteLevel(random)}},{{Template()}}]}""",
        _ => Template(),
    })!;

    public JsonNode Decoder() => Sequence("decoders", () => random.Next(9) switch
    {
        0 => """{"type":"ByteFallback"}""",
        1 => """{"type":"Fuse"}""",
        2 => $$"""
            {"type":"Metaspace","replacement":"▁","prepend_scheme":"{{Pick("always", "first", "never")}}","split":{{Bool()}}}
            """,
        3 => $$"""{"type":"Replace","pattern":{{Pattern(_replaced)}},"content":"{{Pick("", " ", "x")}}"}""",
        // A stop that is not 0 ends the process of the library where a token is shorter.
        4 => $$"""{"type":"Strip","content":"{{Pick(" ", "a", "▁")}}","start":{{random.Next(3)}},"stop":0}""",
        5 => $$"""{"type":"WordPiece","prefix":"##","cleanup":{{Bool()}}}""",
        6 => """{"type":"BPEDecoder","suffix":"</w>"}""",
        7 => $$"""{"type":"CTC","pad_token":"<s>","word_delimiter_token":"-","cleanup":{{Bool()}}}""",
        _ => """{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}""",
    });

    private string Template()
    {
        string before = Bool() == "true" ? """{"SpecialToken":{"id":"<s>","type_id":0}},""" : "";
        string after = Bool() == "true" ? ",{\"SpecialToken\":{\"id\":\"</s>\",\"type_id\":0}}" : "";
        return $$$$"""
            {"type":"TemplateProcessing","single":[{{{{before}}}}{"Sequence":{"id":"A","type_id":0}}{{{{after}}}}],
            "pair":[{{{{before}}}}{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}{{{{after}}}}],
            "special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}}
            """;
    }

    private string Pattern(string[] regexes) => random.Next(3) == 0
        ? $$"""{"String":{{JsonSerializer.Serialize(Pick(" ", "▁", "a", "th", "\n", "-", "é"))}}}"""
        : $$"""{"Regex":{{JsonSerializer.Serialize(Pick(regexes))}}}""";

    private JsonNode Sequence(string field, Func<string> next)
    {
        int count = random.Next(3) == 0 ? random.Next(1, 4) : 1;
        if (count == 1 && random.Next(2) == 0) return JsonNode.Parse(next())!;
        return JsonNode.Parse($$"""{"type":"Sequence","{{field}}":[{{string.Join(",", Enumerable.Range(0, count).Select(_ => next()))}}]}""")!;
    }

    private string Bool() => random.Next(2) == 0 ? "true" : "false";

    private string Pick(params string[] choices) => choices[random.Next(choices.Length)];
}
