using System.Collections;

namespace Ndif.Server.OpenAi;

/// <summary>A token that the model considered, with the natural logarithm of its probability.</summary>
internal readonly record struct LikelyToken(string Text, float Logprob);

/// <summary>
/// The likely tokens in one place, most likely first. Their texts are decoded when they are written, so that a response that waits takes
/// the memory of ids.
/// </summary>
/// <param name="previous">The token before them.</param>
internal sealed class LikelyTokens(
    TokenTextCache texts, int previous, ReadOnlyMemory<long> ids, ReadOnlyMemory<float> logprobs) : IReadOnlyList<LikelyToken>
{
    public int Count => ids.Length;

    public LikelyToken this[int index] => new(texts.Get(previous, (int)ids.Span[index]), logprobs.Span[index]);

    public IEnumerator<LikelyToken> GetEnumerator()
    {
        for (int i = 0; i < Count; i++) yield return this[i];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
