using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>Reads a byte-pair model. Merges are <c>["a", "b"]</c> or, before 2024, <c>"a b"</c>; the first has the lowest rank.</summary>
/// <remarks><c>dropout</c> is for training and is not read: an experiment must give the same ids twice.</remarks>
internal static class BpeModelReader
{
    public static BpeModel Read(JsonPart part)
    {
        var vocabulary = Vocabulary.Read(part.Required("vocab"));
        string prefix = part.Optional("continuing_subword_prefix")?.String() ?? "";
        return new BpeModel(vocabulary, ReadMerges(part.Required("merges"), vocabulary, prefix.Length), part.Path)
        {
            ContinuingSubwordPrefix = prefix,
            EndOfWordSuffix = part.Optional("end_of_word_suffix")?.String() ?? "",
            UnknownToken = part.Optional("unk_token")?.String(),
            FuseUnknown = part.Bool("fuse_unk", false),
            ByteFallback = part.Bool("byte_fallback", false),
            IgnoreMerges = part.Bool("ignore_merges", false),
        };
    }

    static BpeMergeTable ReadMerges(JsonPart part, Vocabulary vocabulary, int prefixLength)
    {
        if (part.ValueKind != JsonValueKind.Array) throw part.CreateException("a list of merges is expected");
        var merges = new BpeMergeTable(part.Value.GetArrayLength());
        char[] joined = new char[256];
        int rank = 0;
        foreach (var entry in part.Value.EnumerateArray())
        {
            ReadOnlySpan<char> left, right;
            if (entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() == 2
                && entry[0].ValueKind == JsonValueKind.String && entry[1].ValueKind == JsonValueKind.String)
            {
                left = entry[0].GetString();
                right = entry[1].GetString();
            }
            else if (entry.ValueKind == JsonValueKind.String)
            {
                ReadOnlySpan<char> line = entry.GetString();
                if (line.StartsWith("#version", StringComparison.Ordinal)) continue;
                int space = line.IndexOf(' ');
                if (space < 0 || line[(space + 1)..].Contains(' ')) throw Wrong("two tokens with one space between them are expected");
                left = line[..space];
                right = line[(space + 1)..];
            }
            else
                throw Wrong("a pair of tokens is expected");

            int first = vocabulary.IdOf(left) ?? throw Missing(left);
            int second = vocabulary.IdOf(right) ?? throw Missing(right);
            if (prefixLength > right.Length) throw Wrong($"'{right}' is shorter than the prefix of continuing tokens");
            int length = left.Length + right.Length - prefixLength;
            if (length > joined.Length) Array.Resize(ref joined, length * 2);
            left.CopyTo(joined);
            right[prefixLength..].CopyTo(joined.AsSpan(left.Length));
            int id = vocabulary.IdOf(joined.AsSpan(0, length)) ?? throw Missing(joined.AsSpan(0, length));
            merges.Set(first, second, new BpeMerge(rank++, id));
        }
        return merges;

        TokenizerFormatException Wrong(string reason) => new($"{part.Path}[{rank}]", reason);
        TokenizerFormatException Missing(ReadOnlySpan<char> token) => Wrong($"the token '{token}' is not in the vocabulary");
    }
}
