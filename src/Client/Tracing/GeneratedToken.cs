using Ndif.Protocol;

namespace Ndif;

/// <summary>A new token of a generation that is still running.</summary>
/// <param name="Invoke">The number of the invoke with the prompt, from 0; 0 for a trace with one prompt.</param>
/// <param name="Row">The number of the row within the invoke; each returned sequence is a row.</param>
/// <param name="Step">0 for the first new token.</param>
/// <param name="Id">The token id.</param>
/// <param name="Text">
/// The text that the token completes: whole characters, without special tokens. The text of the prompt and these pieces together are the
/// text of the result.
/// </param>
/// <param name="IsLast">The row ends with this token.</param>
public sealed record GeneratedToken(int Invoke, int Row, int Step, long Id, string Text, bool IsLast)
{
    internal static GeneratedToken FromProto(NewToken token) =>
        new((int)token.Invoke, (int)token.Row, (int)token.Step, token.Id, token.Text, token.Last);
}
