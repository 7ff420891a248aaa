namespace Ndif.Engine.Generating.Logits;

/// <summary>Changes the scores of the next token before a token is chosen. It has no state of a row.</summary>
/// <remarks>LogitsProcessor in transformers/generation/logits_process.py; the remarks of each class name its counterpart.</remarks>
internal interface ILogitsProcessor
{
    /// <summary>Changes the scores in place.</summary>
    /// <param name="tokens">The tokens of the row without padding: the prompt and the generated ones.</param>
    /// <param name="promptLength">The number of tokens of the prompt.</param>
    /// <param name="scores">[vocab]; minus infinity for a token that cannot be chosen.</param>
    void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores);
}
