using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Tells of a row's new tokens as they come, each with the text that it completes: whole characters, special tokens left out. The
/// prompt's text and the pieces together are the text of the result.
/// </summary>
internal sealed class TokenTeller
{
    private const int Before = 8; // how a token is spelled depends on what stands before it

    private readonly JobRun _job;
    private readonly NewToken _first;
    private readonly StreamingDecoder? _text;
    private uint _step;

    /// <param name="first">Whose tokens they are.</param>
    /// <param name="tokenizer">Null: the pieces are empty.</param>
    public TokenTeller(JobRun job, NewToken first, HuggingFaceTokenizer? tokenizer, ReadOnlySpan<long> prompt)
    {
        (_job, _first, _text) = (job, first, tokenizer?.NewStream(skipSpecialTokens: true));
        foreach (long id in prompt[Math.Max(0, prompt.Length - Before)..]) _text?.Add((int)id);
    }

    /// <param name="last">The row ends with it.</param>
    public void Tell(long id, bool last)
    {
        NewToken token = _first.Clone();
        (token.Step, token.Id, token.Last) = (_step++, id, last);
        token.Text = _text?.Add((int)id) ?? "";
        if (last) token.Text += _text?.Finish();
        _job.Tell(token);
    }
}
