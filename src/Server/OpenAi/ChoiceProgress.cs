using Ndif.Protocol;

namespace Ndif.Server.OpenAi;

/// <summary>
/// One choice of a running job: puts the tokens and values of its events together. A job that runs again on another worker draws the same
/// tokens; those that were delivered before are not delivered again.
/// </summary>
internal sealed class ChoiceProgress
{
    private readonly CompletionModel _model;
    private readonly CompletionPrompt _prompt;
    private readonly ChoiceSaves _saves;
    private readonly ChoiceText _text;
    private readonly bool _hasLogprobs, _echoes;
    private readonly int _index, _maxTokens;

    // of the current attempt, what was not delivered
    private readonly PendingSteps<NewToken> _tokens = new();
    private readonly PendingSteps<float> _logprobs = new();
    private readonly PendingSteps<float[]> _topValues = new();
    private readonly PendingSteps<long[]> _topIds = new();
    private TensorData? _promptLogprobs, _promptTopValues, _promptTopIds;

    private bool _hasDeliveredPrompt;
    private int _previousId;

    public ChoiceProgress(
        int index, CompletionModel model, CompletionRequest request, CompletionPrompt prompt, ChoiceSaves saves, int maxTokens)
    {
        (_index, _model, _prompt, _saves, _maxTokens) = (index, model, prompt, saves, maxTokens);
        (_hasLogprobs, _echoes) = (request.TopLogprobs is not null, request.Echo);
        _hasDeliveredPrompt = !_echoes;
        _text = new ChoiceText(request.Stop);
        _previousId = prompt.Ids[^1];
    }

    /// <summary>The number of new tokens that were delivered.</summary>
    public int TokenCount { get; private set; }

    public bool HasEnded { get; private set; }

    public void OnRestart()
    {
        _tokens.Restart(TokenCount);
        _logprobs.Restart(TokenCount);
        _topValues.Restart(TokenCount);
        _topIds.Restart(TokenCount);
        (_promptLogprobs, _promptTopValues, _promptTopIds) = (null, null, null);
    }

    public void OnToken(NewToken token) => _tokens.Add(token);

    /// <summary>Takes a saved value, if it is one of this choice.</summary>
    public void OnValue(uint node, TensorData value)
    {
        if (node == _saves.Logprob) _logprobs.Add(value.ToArray<float>()[0]);
        else if (node == _saves.FirstTopValues || node == _saves.TopValues) _topValues.Add(value.ToArray<float>());
        else if (node == _saves.FirstTopIds || node == _saves.TopIds) _topIds.Add(value.ToArray<long>());
        else if (_hasDeliveredPrompt) return;
        else if (node == _saves.PromptLogprobs) _promptLogprobs = value;
        else if (node == _saves.PromptTopValues) _promptTopValues = value;
        else if (node == _saves.PromptTopIds) _promptTopIds = value;
    }

    /// <summary>Returns the next part that is complete, or null.</summary>
    public ChoiceDelta? TakeNext()
    {
        if (HasEnded) return null;
        if (!_hasDeliveredPrompt) return TakePrompt();
        if (_tokens.IsEmpty || (_hasLogprobs && !HasValues())) return null;
        NewToken token = _tokens.Take();
        TokenCount++;
        bool isEos = token.Last && _model.EosTokenIds.Contains(token.Id);
        TokenLogprob? logprob = _hasLogprobs ? Describe((int)token.Id) : null;
        (string text, IReadOnlyList<TokenLogprob> tokens) = _text.Add(token.Text, isEos ? null : logprob, token.Last);
        HasEnded = token.Last;
        string? reason = !HasEnded ? null : _text.IsStopped || isEos || TokenCount < _maxTokens ? "stop" : "length";
        return new ChoiceDelta(_index, text, tokens, reason);
    }

    /// <summary>The prompt, which an echo begins with.</summary>
    private ChoiceDelta? TakePrompt()
    {
        bool needsValues = _hasLogprobs && _prompt.Ids.Count > 1;
        if (needsValues && (_promptLogprobs is null || (_saves.PromptTopIds is not null && _promptTopIds is null))) return null;
        _hasDeliveredPrompt = true;
        HasEnded = _maxTokens == 0;
        IReadOnlyList<TokenLogprob> tokens = _hasLogprobs ? DescribePrompt() : [];
        (_promptLogprobs, _promptTopValues, _promptTopIds) = (null, null, null); // they are not needed again
        return new ChoiceDelta(_index, _prompt.Text, tokens, HasEnded ? "length" : null);
    }

    private bool HasValues() => !_logprobs.IsEmpty && (_saves.TopIds is null || !(_topValues.IsEmpty || _topIds.IsEmpty));

    /// <summary>Describes the token of a step, and takes the values of the step.</summary>
    private TokenLogprob Describe(int id)
    {
        int previous = _previousId;
        _previousId = id;
        return new TokenLogprob(
            _model.Texts.Get(previous, id), _logprobs.Take(),
            _saves.TopIds is null ? [] : new LikelyTokens(_model.Texts, previous, _topIds.Take(), _topValues.Take()));
    }

    private TokenLogprob[] DescribePrompt()
    {
        float[] logprobs = _promptLogprobs?.ToArray<float>() ?? [], topValues = _promptTopValues?.ToArray<float>() ?? [];
        long[] topIds = _promptTopIds?.ToArray<long>() ?? [];
        int count = logprobs.Length == 0 ? 0 : topIds.Length / logprobs.Length;
        var tokens = new TokenLogprob[logprobs.Length + 1];
        tokens[0] = new TokenLogprob(_model.Texts.Get(null, _prompt.Ids[0]), null, []);
        for (int i = 0; i < logprobs.Length; i++)
            tokens[i + 1] = new TokenLogprob(
                _model.Texts.Get(_prompt.Ids[i], _prompt.Ids[i + 1]), logprobs[i],
                new LikelyTokens(
                    _model.Texts, _prompt.Ids[i], topIds.AsMemory(i * count, count), topValues.AsMemory(i * count, count)));
        return tokens;
    }
}
