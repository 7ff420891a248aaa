using Ndif.Protocol;

namespace Ndif;

/// <summary>A new token of a generation that is still running.</summary>
/// <param name="Invoke">Which of the trace's prompts, counted by <c>t.Invoke(...)</c> from 0; 0 if the trace has one.</param>
/// <param name="Row">Which of that invoke's rows, returned sequences counted each.</param>
/// <param name="Step">0 for the first new token.</param>
/// <param name="Text">
/// The text that it completes: whole characters, special tokens left out. The prompt's text and the pieces together are the result's.
/// </param>
/// <param name="IsLast">The row ends with it.</param>
public sealed record GeneratedToken(int Invoke, int Row, int Step, long Id, string Text, bool IsLast)
{
    internal static GeneratedToken FromProto(NewToken token) => new((int)token.Invoke, (int)token.Row, (int)token.Step, token.Id, token.Text, token.Last);
}
