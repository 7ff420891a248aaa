using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>Makes the pre-tokenizer that the file's <c>pre_tokenizer</c> describes.</summary>
internal static class PreTokenizerReader
{
    public static IPreTokenizer Read(JsonPart part)
    {
        IPreTokenizer[] stages = [.. part.Stages("pretokenizers").Select(ReadOne)];
        return stages.Length == 1 ? stages[0] : new SequencePreTokenizer(stages);
    }

    static IPreTokenizer ReadOne(JsonPart part)
    {
        string type = part.Type("Sequence", "ByteLevel", "Split", "Metaspace", "Digits", "Whitespace", "WhitespaceSplit", "Punctuation",
            "BertPreTokenizer", "CharDelimiterSplit", "Delimiter", "FixedLength");
        return type switch
        {
            "ByteLevel" => new ByteLevelPreTokenizer(part.Bool("add_prefix_space", true), part.Bool("use_regex", true)),
            "Split" => new SplitPreTokenizer(PatternReader.Read(part.Required("pattern")),
                Behavior(part.Required("behavior")), part.Bool("invert", false)),
            "Metaspace" => MetaspacePreTokenizer.Read(part),
            "Digits" => new SplitPreTokenizer(new RunePattern(RuneClass.IsNumeric),
                part.Bool("individual_digits", false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous),
            "Whitespace" => new SplitPreTokenizer(new WordPattern(), SplitBehavior.Removed, Invert: true),
            "WhitespaceSplit" => WhiteSpace(),
            "Punctuation" => Punctuation(part.Optional("behavior") is { } behavior ? Behavior(behavior) : SplitBehavior.Isolated),
            "BertPreTokenizer" => new SequencePreTokenizer([WhiteSpace(), Punctuation(SplitBehavior.Isolated)]),
            "FixedLength" => new FixedLengthPreTokenizer(part.Optional("length")?.Int(1, int.MaxValue) ?? 5),
            _ => Delimiter(part.Required("delimiter").Rune()),
        };
    }

    static SplitPreTokenizer WhiteSpace() => new(new RunePattern(RuneClass.IsWhiteSpace), SplitBehavior.Removed);

    static SplitPreTokenizer Punctuation(SplitBehavior behavior) => new(new RunePattern(RuneClass.IsPunctuation), behavior);

    static SplitPreTokenizer Delimiter(Rune delimiter) => new(new LiteralPattern(delimiter.ToString()), SplitBehavior.Removed);

    static SplitBehavior Behavior(JsonPart part)
    {
        string name = part.String();
        return Enum.GetNames<SplitBehavior>().Contains(name) ? Enum.Parse<SplitBehavior>(name)
            : throw part.CreateException($"the behavior '{name}' is unknown{NearestName.Hint(name, Enum.GetNames<SplitBehavior>())}");
    }
}
