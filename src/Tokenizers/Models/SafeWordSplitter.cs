namespace Ndif.Tokenizers.Models;

/// <summary>
/// Splits a long word at positions where a split does not change its tokens. SentencePiece-style files have no pre-tokenizer, so that
/// a whole prompt is one word. A merge across "t▁", for example, exists only if some token contains "t▁". If no token does, the text
/// before and after the boundary can be tokenized separately, and the tokens of common words come from the cache.
/// </summary>
internal sealed class SafeWordSplitter
{
    private const char Metaspace = '\u2581';

    private readonly bool[] _canSplitAfter = new bool[char.MaxValue + 1]; // indexed by the char before a metaspace

    public SafeWordSplitter(Vocabulary vocabulary)
    {
        if (vocabulary.IdOf([Metaspace]) is null) return;
        // A char that is not in the vocabulary can become byte tokens, for which the argument above does not hold.
        foreach (string token in vocabulary.Tokens)
            if (token.Length == 1) _canSplitAfter[token[0]] = true;
        foreach (string token in vocabulary.Tokens)
            for (int i = 1; i < token.Length; i++)
                if (token[i] == Metaspace) _canSplitAfter[token[i - 1]] = false;
    }

    /// <summary>The length of the shortest prefix of a word that can be tokenized separately. It can be the whole word.</summary>
    public int NextLength(ReadOnlySpan<char> word)
    {
        for (int index = 1; index < word.Length; index++)
        {
            int distance = word[index..].IndexOf(Metaspace);
            if (distance < 0) break;
            index += distance;
            if (_canSplitAfter[word[index - 1]]) return index;
        }
        return word.Length;
    }
}
