using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Tokenizers;

namespace Ndif.Engine.Generating;

/// <summary>
/// Publishes the new tokens of a row, each with the text that it completes: whole characters, without special tokens. The text of the
/// prompt and these pieces together are the text of the result.
/// </summary>
internal sealed class TokenStreamer
{
    private const int ContextTokens = 8; // the text of a token depends on the tokens before it

    private readonly JobRun _job;
    private readonly NewToken _template;
    private readonly StreamingDecoder? _decoder;
    private uint _step;

    /// <param name="template">An event with the trace, the invoke and the row of the tokens.</param>
    /// <param name="tokenizer">Null leaves the texts empty.</param>
    public TokenStreamer(JobRun job, NewToken template, HuggingFaceTokenizer? tokenizer, ReadOnlySpan<long> prompt)
    {
        (_job, _template, _decoder) = (job, template, tokenizer?.NewStream(skipSpecialTokens: true));
        foreach (long id in prompt[Math.Max(0, prompt.Length - ContextTokens)..]) _decoder?.Add((int)id);
    }

    /// <param name="isLast">The row ends with this token.</param>
    public void Publish(long id, bool isLast)
    {
        NewToken token = _template.Clone();
        (token.Step, token.Id, token.Last) = (_step++, id, isLast);
        token.Text = _decoder?.Add((int)id) ?? "";
        if (isLast) token.Text += _decoder?.Finish();
        _job.ReportToken(token);
    }
}
