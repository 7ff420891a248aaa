using Ndif.Engine.Running;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Support;

/// <summary>The results of one job by name, in the form that a client receives.</summary>
internal sealed class JobOutcome : IRunSink
{
    private readonly Dictionary<string, Data> _saved = [];

    public Error? Error { get; set; }

    public long Tokens { get; set; }

    public List<string> Logs { get; } = [];

    /// <summary>The names of the values whose tensors nobody changes after their save.</summary>
    public List<string> FinalNames { get; } = [];

    public List<string> Warnings { get; } = [];

    public List<NewToken> NewTokens { get; } = [];

    public IEnumerable<string> Names => _saved.Keys;

    /// <summary>Called at each log line, on the model thread.</summary>
    public Action? OnLog { get; init; }

    /// <summary>Called at each saved value, on the model thread.</summary>
    public Action? OnSaved { get; init; }

    public Data this[string name] => _saved.TryGetValue(name, out Data? data) ? data
        : throw new KeyNotFoundException($"`{name}` was not saved: {Error}");

    /// <summary>Answers a local call.</summary>
    public Func<Task<Data>>? Answer { get; init; }

    /// <summary>The run that has this outcome.</summary>
    public JobRun? Run { get; set; }

    public TensorData Tensor(string name) => TensorData.FromProto(this[name].Tensor);

    public TensorData[] Tensors(string name) => [.. this[name].List.Items.Select(i => TensorData.FromProto(i.Tensor))];

    /// <summary>Asserts that the job has completed.</summary>
    public JobOutcome AssertCompleted()
    {
        Assert.Null(Error);
        return this;
    }

    public Error AssertFailed(ErrorCode code)
    {
        Assert.True(Error is not null, $"It ended well; {code} was expected.");
        Assert.True(code == Error.Code, Error.ToString());
        return Error;
    }

    void IRunSink.OnValueSaved(uint node, string name, object? value, bool isFinal)
    {
        _saved[name.Length > 0 ? name : $"%{node}"] = ValueSerializer.Serialize(value);
        if (isFinal) FinalNames.Add(name);
        OnSaved?.Invoke();
    }

    void IRunSink.OnLogged(uint node, string text)
    {
        Logs.Add(text);
        OnLog?.Invoke();
    }

    Data IRunSink.InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
    {
        Task<Data> answer = Answer?.Invoke() ?? throw new NotSupportedException("Nobody is asked here.");
        Run!.WaitWhileOthersRun(answer, canLeave: false);
        return answer.Result;
    }

    void IRunSink.OnWarning(uint node, string module, string message) => Warnings.Add(message);

    void IRunSink.OnTokenGenerated(NewToken token) => NewTokens.Add(token);
}
