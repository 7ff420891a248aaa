using Ndif.Tokenizers;

namespace Ndif.Server.OpenAi;

/// <summary>
/// The texts that the tokens of a model add to a text. It remembers as many as it has places, each of which has the pair of tokens that
/// was asked for last: the likely tokens of a completion are mostly the same few. It may be used from several threads.
/// </summary>
internal sealed class TokenTextCache(HuggingFaceTokenizer tokenizer)
{
    private const int Places = 1 << 15, NoToken = -1;

    private readonly Entry?[] _entries = new Entry?[Places];

    public HuggingFaceTokenizer Tokenizer => tokenizer;

    /// <summary>The text that a token adds after another one: a decoder may write a space only between two tokens.</summary>
    /// <param name="previous">Null for the first token of a text.</param>
    public string Get(int? previous, int id)
    {
        int before = previous ?? NoToken;
        ref Entry? place = ref _entries[(uint)HashCode.Combine(before, id) % Places];
        if (place is { } known && known.Previous == before && known.Id == id) return known.Text;
        string text = previous is null ? tokenizer.Decode(id) : Decode(before, id);
        place = new Entry(before, id, text);
        return text;
    }

    private string Decode(int previous, int id)
    {
        string head = Get(null, previous), both = tokenizer.Decode([previous, id]);
        return both.StartsWith(head, StringComparison.Ordinal) ? both[head.Length..] : Get(null, id);
    }

    private sealed record Entry(int Previous, int Id, string Text);
}
