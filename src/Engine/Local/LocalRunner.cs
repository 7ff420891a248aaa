using System.Diagnostics;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Engine.Local;

/// <summary>Runs the programs of the client library in this process, on a model that the first run loads.</summary>
/// <param name="loadModel">Loads the model on the model thread. Called again only if it has failed.</param>
/// <param name="loadMetaModel">Loads the model without weights, on which scans run; null if there is no such model.</param>
internal sealed class LocalRunner(Func<CancellationToken, HookedModel> loadModel, Func<HookedModel>? loadMetaModel, ModelThread modelThread)
    : ILoadableRunner
{
    private HookedModel? _model, _metaModel;

    public bool IsLoaded => _model is not null;

    public Task LoadAsync(CancellationToken cancellationToken = default) => modelThread.RunAsync(() =>
    {
        cancellationToken.ThrowIfCancellationRequested();
        return _model ??= loadModel(cancellationToken);
    });

    public async Task RunAsync(Program program, IRunClient client, CancellationToken cancellationToken = default)
    {
        long start = Stopwatch.GetTimestamp();
        Error? error = await modelThread.RunAsync(() =>
        {
            long ready = Stopwatch.GetTimestamp();
            cancellationToken.ThrowIfCancellationRequested();
            bool isScan = loadMetaModel is not null
                && program.Nodes.Any(n => n.KindCase is Node.KindOneofCase.Trace && n.Trace.Mode is Mode.Scan);
            HookedModel model = isScan ? _metaModel ??= loadMetaModel!() : _model ??= loadModel(cancellationToken);
            long loaded = Stopwatch.GetTimestamp();
            Plan plan = Compiler.Compile(program, model);
            long compiled = Stopwatch.GetTimestamp();
            var sink = new ClientSink(client, plan, cancellationToken);
            using var job = new JobRun(plan, sink, cancellationToken: cancellationToken);
            ProgramEngine.Run(model, [job]);
            TimeSpan run = Stopwatch.GetElapsedTime(compiled);
            client.OnEnded(ToPhases(("send", default), ("queue", default), ("load", Stopwatch.GetElapsedTime(ready, loaded)),
                ("wait", Stopwatch.GetElapsedTime(start, ready)), ("compile", Stopwatch.GetElapsedTime(loaded, compiled)),
                ("run", run - sink.SaveTime), ("save", sink.SaveTime), ("end", default), ("deliver", default)));
            return job.Error;
        });
        if (error is { Code: ErrorCode.JobCancelled }) cancellationToken.ThrowIfCancellationRequested();
        if (error is not null) throw Errors.ToException(error);
    }

    private static Phase[] ToPhases(params (string Name, TimeSpan Time)[] phases) =>
        [.. phases.Select(phase => new Phase { Name = phase.Name, Seconds = phase.Time.TotalSeconds })];

    /// <summary>Reports results as the events of a remote run.</summary>
    private sealed class ClientSink(IRunClient client, Plan plan, CancellationToken cancellationToken) : IRunSink
    {
        private ulong _lastTicket;

        /// <summary>The time in which saved values were serialized.</summary>
        public TimeSpan SaveTime { get; private set; }

        /// <summary>There is no time limit in the caller's own process, because a debugger may have stopped the function.</summary>
        public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
        {
            var request = new LocalRequest
            {
                Callback = callback,
                Ticket = ++_lastTicket,
                Values = { values.Select(v => ValueSerializer.Serialize(v)) },
            };
            LocalReply reply = client.AnswerAsync(request, cancellationToken).AsTask().GetAwaiter().GetResult();
            return reply.Error is { } error ? throw Errors.ToException(error) : reply.Value;
        }

        public void OnValueSaved(uint node, string name, object? value, bool isFinal)
        {
            long from = Stopwatch.GetTimestamp();
            client.OnEvent(new Event { Value = new SavedValue { Node = node, Name = name, Data = ValueSerializer.Serialize(value) } });
            SaveTime += Stopwatch.GetElapsedTime(from);
        }

        public void OnLogged(uint node, string text) =>
            client.OnEvent(new Event { Log = new LogLine { Text = text, Line = plan.LineOf(node) } });

        public void OnWarning(uint node, string module, string message) =>
            client.OnEvent(new Event { Warning = new Warning { Message = message, Module = module, Line = plan.LineOf(node) } });

        public void OnTokenGenerated(NewToken token) => client.OnEvent(new Event { Token = token });
    }
}
