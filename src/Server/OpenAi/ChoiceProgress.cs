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

    // of the current attempt, by step
    private readonly List<NewToken> _tokens = [];
    private readonly List<float> _logprobs = [];
    private readonly List<float[]> _topValues = [];
    private readonly List<long[]> _topIds = [];
    private TensorData? _promptLogprobs, _promptTopValues, _promptTopIds;

    private bool _hasDeliveredPrompt;

    public ChoiceProgress(
        int index, CompletionModel model, CompletionRequest request, CompletionPrompt prompt, ChoiceSaves saves, int maxTokens)
    {
        (_index, _model, _prompt, _saves, _maxTokens) = (index, model, prompt, saves, maxTokens);
        (_hasLogprobs, _echoes) = (request.TopLogprobs is not null, request.Echo);
        _hasDeliveredPrompt = !_echoes;
        _text = new ChoiceText(request.Stop);
    }

    /// <summary>The number of new tokens that were delivered.</summary>
    public int TokenCount { get; private set; }

    public bool HasEnded { get; private set; }

    public void OnRestart()
    {
        _tokens.Clear();
        _logprobs.Clear();
        _topValues.Clear();
        _topIds.Clear();
        (_promptLogprobs, _promptTopValues, _promptTopIds) = (null, null, null);
    }

    public void OnToken(NewToken token) => _tokens.Add(token);

    /// <summary>Takes a saved value, if it is one of this choice.</summary>
    public void OnValue(uint node, TensorData value)
    {
        if (node == _saves.Logprob) _logprobs.Add(value.ToArray<float>()[0]);
        else if (node == _saves.FirstTopValues || node == _saves.TopValues) _topValues.Add(value.ToArray<float>());
        else if (node == _saves.FirstTopIds || node == _saves.TopIds) _topIds.Add(value.ToArray<long>());
        else if (node == _saves.PromptLogprobs) _promptLogprobs = value;
        else if (node == _saves.PromptTopValues) _promptTopValues = value;
        else if (node == _saves.PromptTopIds) _promptTopIds = value;
    }

    /// <summary>Returns the next part that is complete, or null.</summary>
    public ChoiceDelta? TakeNext()
    {
        if (HasEnded) return null;
        if (!_hasDeliveredPrompt) return TakePrompt();
        int step = TokenCount;
        if (step >= _tokens.Count || (_hasLogprobs && !HasValues(step))) return null;
        NewToken token = _tokens[step];
        TokenCount++;
        bool isEos = token.Last && _model.EosTokenIds.Contains(token.Id);
        TokenLogprob? logprob = _hasLogprobs && !isEos ? Describe(step) : null;
        (string text, IReadOnlyList<TokenLogprob> tokens) = _text.Add(token.Text, logprob, token.Last);
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

    private bool HasValues(int step) => _logprobs.Count > step
        && (_saves.TopIds is null || (_topValues.Count > step && _topIds.Count > step));

    private TokenLogprob Describe(int step)
    {
        int previous = step > 0 ? (int)_tokens[step - 1].Id : _prompt.Ids[^1];
        return new TokenLogprob(
            _model.Texts.Get(previous, (int)_tokens[step].Id), _logprobs[step],
            _saves.TopIds is null ? [] : new LikelyTokens(_model.Texts, previous, _topIds[step], _topValues[step]));
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
