namespace Ndif.Tokenizers.Models;

/// <summary>
/// Where a long word can be cut without changing its tokens. SentencePiece-style files have no pre-tokenizer, so that a whole prompt is
/// one word; but a merge across "t▁" can only exist if some token holds "t▁". Where none does, both sides merge on their own,
/// and ordinary words find their tokens in the cache.
/// </summary>
internal sealed class SafeWordSplitter
{
    const char Metaspace = '\u2581';

    readonly bool[] _canSplitAfter = new bool[char.MaxValue + 1]; // by the char before a mark

    public SafeWordSplitter(Vocabulary vocabulary)
    {
        if (vocabulary.IdOf([Metaspace]) is null) return;
        // an unknown char may be spelled in bytes, whose tokens look different: only known ones count
        foreach (string token in vocabulary.Tokens)
            if (token.Length == 1) _canSplitAfter[token[0]] = true;
        foreach (string token in vocabulary.Tokens)
            for (int i = 1; i < token.Length; i++)
                if (token[i] == Metaspace) _canSplitAfter[token[i - 1]] = false;
    }

    /// <summary>The length of the part of a word, at most the whole, that can be tokenized on its own.</summary>
    public int NextPartLength(ReadOnlySpan<char> word)
    {
        for (int at = 1; at < word.Length; at++)
        {
            int distance = word[at..].IndexOf(Metaspace);
            if (distance < 0) break;
            at += distance;
            if (_canSplitAfter[word[at - 1]]) return at;
        }
        return word.Length;
    }
}
