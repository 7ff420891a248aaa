using System.Text.Json;
using Ndif.Tokenizers.Json;

namespace Ndif.Tokenizers.Models;

/// <summary>
/// Reads a BPE model. A merge is <c>["a", "b"]</c>, or <c>"a b"</c> in files from before 2024. The first merge has the lowest rank.
/// </summary>
/// <remarks>The field <c>dropout</c> is ignored: it is for training and would make encoding non-deterministic.</remarks>
internal static class BpeModelReader
{
    public static BpeModel Read(JsonSection section)
    {
        var vocabulary = Vocabulary.Read(section.Required("vocab"));
        string prefix = section.Optional("continuing_subword_prefix")?.String() ?? "";
        return new BpeModel(vocabulary, ReadMerges(section.Required("merges"), vocabulary, prefix.Length), section.Path)
        {
            ContinuingSubwordPrefix = prefix,
            EndOfWordSuffix = section.Optional("end_of_word_suffix")?.String() ?? "",
            UnknownToken = section.Optional("unk_token")?.String(),
            FuseUnknown = section.Bool("fuse_unk", false),
            ByteFallback = section.Bool("byte_fallback", false),
            IgnoreMerges = section.Bool("ignore_merges", false),
        };
    }

    private static BpeMergeTable ReadMerges(JsonSection section, Vocabulary vocabulary, int prefixLength)
    {
        if (section.ValueKind != JsonValueKind.Array) throw section.CreateException("a list of merges is expected");
        var merges = new BpeMergeTable(section.Value.GetArrayLength());
        char[] joined = new char[256];
        int rank = 0;
        foreach (var entry in section.Value.EnumerateArray())
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
            if (prefixLength > right.Length) throw Wrong($"'{right}' is shorter than continuing_subword_prefix");
            int length = left.Length + right.Length - prefixLength;
            if (length > joined.Length) Array.Resize(ref joined, length * 2);
            left.CopyTo(joined);
            right[prefixLength..].CopyTo(joined.AsSpan(left.Length));
            int id = vocabulary.IdOf(joined.AsSpan(0, length)) ?? throw Missing(joined.AsSpan(0, length));
            merges.Set(first, second, new BpeMerge(rank++, id));
        }
        return merges;

        TokenizerFormatException Wrong(string reason) => new($"{section.Path}[{rank}]", reason);
        TokenizerFormatException Missing(ReadOnlySpan<char> token) => Wrong($"the token '{token}' is not in the vocabulary");
    }
}
