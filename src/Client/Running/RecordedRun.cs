using System.Diagnostics;
using System.Runtime.ExceptionServices;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif.Running;

/// <summary>
/// One run of a recorded program. It sets the results of the saved values, prints logs and warnings, and converts a failure to the
/// exception whose message shows the user's line.
/// </summary>
/// <param name="chosenJobId">See <see cref="Tracer.JobId"/>.</param>
internal sealed class RecordedRun(
    Recorder recorder, Action<string> onLog, Action<string> onWarning, Action<JobEvent>? onEvent, string? chosenJobId) : IRunClient
{
    private readonly Dictionary<uint, Saved> _saves = recorder.Saves.ToDictionary(s => s.SaveNode);

    private ExceptionDispatchInfo? _callbackException;
    private readonly AttemptHistory _history = new();
    private RunClock _clock = new();
    private ProgressLine? _progress;

    /// <summary>True if the program calls functions of the client during its run.</summary>
    public bool HasCallbacks => recorder.Callbacks.Count > 0;

    public Protocol.Program Program => recorder.Program;

    /// <inheritdoc/>
    public string? ChosenJobId => chosenJobId;

    /// <summary>The id of the remote job; null before it is submitted, and in a local run.</summary>
    public string? JobId { get; private set; }

    /// <summary>The times of the phases of the run; null before its end.</summary>
    public RunTimings? Timings { get; private set; }

    public async Task RunAsync(IProgramRunner runner, CancellationToken cancellationToken)
    {
        recorder.HasRun = true;
        using Activity? activity = Telemetry.Source.StartActivity("run", ActivityKind.Client)
            ?.SetTag("ndif.model", recorder.Program.Model?.Id);
        _clock = new RunClock();
        using ProgressLine? progress = _progress = ProgressLine.OnConsole();
        try
        {
            await runner.RunAsync(recorder.Program, this, cancellationToken);
            Timings = _clock.Stop();
        }
        catch (Exception e) when (e is NdifException or { InnerException: NdifException })
        {
            if (Errors.FromException(e).Code is ErrorCode.LocalCallFailed) _callbackException?.Throw();
            throw Errors.ToException(WithLine(Errors.FromException(e)), e);
        }
    }

    public void OnSubmitting(string jobId) => JobId = jobId;

    public void OnEnded(IReadOnlyList<Phase> phases) => _clock.OnEnded(phases);

    public void MarkStarted() => recorder.HasRun = true;

    public void OnEvent(Event jobEvent)
    {
        _clock.OnEvent(jobEvent);
        var shown = new JobEvent(jobEvent);
        _progress?.OnEvent(shown);
        if (jobEvent.KindCase is not (Event.KindOneofCase.State or Event.KindOneofCase.Progress)) _progress?.Clear();
        onEvent?.Invoke(shown);
        switch (jobEvent.KindCase)
        {
            case Event.KindOneofCase.Value when _saves.TryGetValue(jobEvent.Value.Node, out Saved? saved):
                saved.SetResult(DataDeserializer.Deserialize(jobEvent.Value.Data));
                break;
            case Event.KindOneofCase.Restart:
                foreach (Saved each in _saves.Values) each.DropResult();
                _callbackException = null;
                _history.OnRestart();
                break;
            case Event.KindOneofCase.Token:
                NotifyToken(jobEvent.Token);
                break;
            case Event.KindOneofCase.Tokens:
                foreach (NewToken token in jobEvent.Tokens.Tokens) NotifyToken(token);
                break;
            case Event.KindOneofCase.Log:
                if (_history.IsNewLog()) onLog(jobEvent.Log.Text);
                break;
            case Event.KindOneofCase.Warning:
                onWarning(jobEvent.Warning.Line is { Line: > 0 } line
                    ? $"warning: {jobEvent.Warning.Message} ({line.File}:{line.Line})"
                    : $"warning: {jobEvent.Warning.Message}");
                break;
        }
    }

    /// <summary>Calls the user's function. Its exception fails the program, and is thrown again when the program has ended.</summary>
    public ValueTask<LocalReply> AnswerAsync(LocalRequest request, CancellationToken cancellationToken)
    {
        // A function of the user may have effects, so a job that runs again gets the answers of its earlier attempt.
        if (_history.FindAnswer(request) is { } before) return ValueTask.FromResult(before);
        var reply = new LocalReply { Ticket = request.Ticket };
        _progress?.Clear();
        try
        {
            Func<object?[], object?> function = recorder.Callbacks[(int)request.Callback];
            reply.Value = DataSerializer.Serialize(function([.. request.Values.Select(DataDeserializer.Deserialize)]));
        }
        catch (Exception e)
        {
            _callbackException = ExceptionDispatchInfo.Capture(e);
            reply.Error = Errors.Create(ErrorCode.LocalCallFailed, $"The client's function failed: {e.Message}");
        }
        _history.AddAnswer(request, reply);
        return ValueTask.FromResult(reply);
    }

    private void NotifyToken(NewToken token)
    {
        if (!_history.IsNewToken(token, out bool isOther)) return;
        if (isOther)
            onWarning("warning: The job ran again, and generated other tokens than before. Seed the generation to prevent that.");
        if (recorder.TokenHandlers.TryGetValue(token.Trace, out var handler)) handler(GeneratedToken.FromProto(token));
    }

    /// <summary>The error with the line of the user's code as this process knows it: file, number and text.</summary>
    public Error WithLine(Error error)
    {
        if (!error.HasNode || recorder.LineOf(error.Node) is not { Line: > 0 } line) return error;
        Error shown = error.Clone();
        shown.Line = line.ToProto();
        if (recorder.HasSeveralThreads && error.Code is ErrorCode.OutOfOrder)
            shown.Hint += " Several threads have recorded this trace. If they did so at the same time (Parallel.For, Task.WhenAll), the "
                + "order is by chance: use a loop, or open a trace in each thread.";
        if (line.ReadText() is { Length: > 0 } text && !shown.Hint.Contains(text, StringComparison.Ordinal))
            shown.Hint = shown.Hint.Length == 0 ? text : $"{text}\n  {shown.Hint}";
        return shown;
    }
}
