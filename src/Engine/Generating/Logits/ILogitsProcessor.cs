namespace Ndif.Engine.Generating.Logits;

/// <summary>One step from a model's scores of the next token to those that the choice is made by. Keeps no state of a row.</summary>
/// <remarks>LogitsProcessor in transformers/generation/logits_process.py, whose names are in the rules' own remarks</remarks>
internal interface ILogitsProcessor
{
    /// <param name="tokens">The row's tokens so far, without padding: its prompt and what was generated.</param>
    /// <param name="promptLength">How many of them are the prompt's.</param>
    /// <param name="scores">[vocab]; minus infinity for a token that cannot be chosen.</param>
    void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores);
}
