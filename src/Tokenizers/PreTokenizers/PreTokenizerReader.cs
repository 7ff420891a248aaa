using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Reads the field <c>pre_tokenizer</c> of tokenizer.json.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/mod.rs</remarks>
internal static class PreTokenizerReader
{
    public static IPreTokenizer Read(JsonSection section)
    {
        IPreTokenizer[] stages = [.. section.Stages("pretokenizers").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequencePreTokenizer(stages);
    }

    private static IPreTokenizer ReadOne(JsonSection section)
    {
        string type = section.Type("Sequence", "ByteLevel", "Split", "Metaspace", "Digits", "Whitespace", "WhitespaceSplit", "Punctuation",
            "BertPreTokenizer", "CharDelimiterSplit", "Delimiter", "FixedLength", "UnicodeScripts");
        return type switch
        {
            "ByteLevel" => new ByteLevelPreTokenizer(section.Bool("add_prefix_space", true), section.Bool("use_regex", true)),
            "Split" => new SplitPreTokenizer(PatternReader.Read(section.Required("pattern")),
                Behavior(section.Required("behavior")), section.Bool("invert", false)),
            "Metaspace" => MetaspacePreTokenizer.Read(section),
            "Digits" => new SplitPreTokenizer(new RunePattern(RuneClass.IsNumeric),
                section.Bool("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous),
            "Whitespace" => new SplitPreTokenizer(new WordPattern(), SplitBehavior.Removed, Invert: true),
            "WhitespaceSplit" => WhiteSpace(),
            "Punctuation" => Punctuation(section.Optional("behavior") is { } behavior ? Behavior(behavior) : SplitBehavior.Isolated),
            "BertPreTokenizer" => new SequencePreTokenizer([WhiteSpace(), Punctuation(SplitBehavior.Isolated)]),
            "UnicodeScripts" => new UnicodeScriptsPreTokenizer(),
            "FixedLength" => new FixedLengthPreTokenizer(section.Optional("length")?.Int(1, int.MaxValue) ?? 5),
            _ => Delimiter(section.Required("delimiter").Rune()),
        };
    }

    private static SplitPreTokenizer WhiteSpace() => new(new RunePattern(RuneClass.IsWhiteSpace), SplitBehavior.Removed);

    private static SplitPreTokenizer Punctuation(SplitBehavior behavior) => new(new RunePattern(RuneClass.IsPunctuation), behavior);

    private static SplitPreTokenizer Delimiter(Rune delimiter) => new(new LiteralPattern(delimiter.ToString()), SplitBehavior.Removed);

    private static SplitBehavior Behavior(JsonSection section)
    {
        string name = section.String();
        return Enum.GetNames<SplitBehavior>().Contains(name) ? Enum.Parse<SplitBehavior>(name)
            : throw section.CreateException($"the behavior '{name}' is unknown{NearestName.Hint(name, Enum.GetNames<SplitBehavior>())}");
    }
}
