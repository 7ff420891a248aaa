using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Tells of a row's new tokens as they come, each with the text that it completes: whole characters, special tokens left out. The
/// prompt's text and the pieces together are the text of the result.
/// </summary>
internal sealed class TokenStreamer
{
    private const int ContextTokens = 8; // how a token is spelled depends on what stands before it

    private readonly JobRun _job;
    private readonly NewToken _template;
    private readonly StreamingDecoder? _decoder;
    private uint _step;

    /// <param name="template">Whose tokens they are.</param>
    /// <param name="tokenizer">Null: the pieces are empty.</param>
    public TokenStreamer(JobRun job, NewToken template, HuggingFaceTokenizer? tokenizer, ReadOnlySpan<long> prompt)
    {
        (_job, _template, _decoder) = (job, template, tokenizer?.NewStream(skipSpecialTokens: true));
        foreach (long id in prompt[Math.Max(0, prompt.Length - ContextTokens)..]) _decoder?.Add((int)id);
    }

    /// <param name="isLast">The row ends with it.</param>
    public void Publish(long id, bool isLast)
    {
        NewToken token = _template.Clone();
        (token.Step, token.Id, token.Last) = (_step++, id, isLast);
        token.Text = _decoder?.Add((int)id) ?? "";
        if (isLast) token.Text += _decoder?.Finish();
        _job.ReportToken(token);
    }
}
