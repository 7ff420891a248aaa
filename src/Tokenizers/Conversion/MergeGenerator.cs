namespace Ndif.Tokenizers.Conversion;

/// <summary>
/// Derives the merges of a SentencePiece BPE model, whose file has tokens and no merges: every pair of tokens whose concatenation is a
/// token, in the order of the ids of the results.
/// </summary>
/// <remarks>transformers 5, tokenization_utils_base.py, generate_merges</remarks>
internal static class MergeGenerator
{
    public static List<(string Left, string Right)> Generate(IReadOnlyDictionary<string, int> vocabulary)
    {
        var merges = new List<(string Left, string Right, int Id, int LeftLength, int RightLength)>();
        foreach (var (token, id) in vocabulary)
        {
            var pairs = new List<(string Left, string Right)>();
            for (int index = 1; index < token.Length; index++)
            {
                if (char.IsLowSurrogate(token[index])) continue;
                string left = token[..index], right = token[index..];
                if (vocabulary.ContainsKey(left) && vocabulary.ContainsKey(right)) pairs.Add((left, right));
            }
            merges.AddRange(pairs.OrderBy(pair => (vocabulary[pair.Left], vocabulary[pair.Right]))
                .Select(pair => (pair.Left, pair.Right, id, RuneCount(pair.Left), RuneCount(pair.Right))));
        }
        // The sort is stable, as Python's.
        return [.. merges.OrderBy(merge => (merge.Id, merge.LeftLength, merge.RightLength)).Select(merge => (merge.Left, merge.Right))];
    }

    private static int RuneCount(string text) => text.EnumerateRunes().Count();
}
