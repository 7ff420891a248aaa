using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Engine.Local;

/// <summary>Runs a client's programs in its own process, on a model that is loaded by the first run.</summary>
/// <param name="open">Called once, on the lane; again only if it failed.</param>
/// <param name="openShapes">The same for a model without weights, which scans run on.</param>
internal sealed class LocalRunner(Func<CancellationToken, SubjectModel> open, Func<SubjectModel>? openShapes, Lane lane) : ILoadableRunner
{
    private SubjectModel? _subject, _shapes;

    public bool IsLoaded => _subject is not null;

    public Task LoadAsync(CancellationToken cancellationToken = default) => lane.RunAsync(() =>
    {
        cancellationToken.ThrowIfCancellationRequested();
        return _subject ??= open(cancellationToken);
    });

    public async Task RunAsync(Program program, IRunClient client, CancellationToken cancellationToken = default)
    {
        Error? error = await lane.RunAsync(() =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            bool scans = openShapes is not null && program.Nodes.Any(n => n.KindCase is Node.KindOneofCase.Trace && n.Trace.Mode is Mode.Scan);
            SubjectModel subject = scans ? _shapes ??= openShapes!() : _subject ??= open(cancellationToken);
            Plan plan = Compiler.Compile(program, subject);
            using var job = new JobRun(plan, new ClientSink(client, plan, cancellationToken), cancellation: cancellationToken);
            ProgramEngine.Run(subject, [job]);
            return job.Error;
        });
        if (error is { Code: ErrorCode.JobCancelled }) cancellationToken.ThrowIfCancellationRequested();
        if (error is not null) throw Errors.ToException(error);
    }

    /// <summary>Results as the events that a remote run would bring.</summary>
    private sealed class ClientSink(IRunClient client, Plan plan, CancellationToken cancellationToken) : IRunSink
    {
        private ulong _tickets;

        /// <summary>In the caller's own process there is no time limit: a debugger may stand in the function.</summary>
        public Data Ask(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
        {
            var request = new LocalRequest { Callback = callback, Ticket = ++_tickets, Values = { values.Select(v => DataWriter.Write(v)) } };
            LocalReply reply = client.AnswerAsync(request, cancellationToken).AsTask().GetAwaiter().GetResult();
            return reply.Error is { } error ? throw Errors.ToException(error) : reply.Value;
        }

        public void Saved(uint node, string name, object? value) =>
            client.Happened(new Event { Value = new SavedValue { Node = node, Name = name, Data = DataWriter.Write(value) } });

        public void Logged(uint node, string text) => client.Happened(new Event { Log = new LogLine { Text = text, Line = plan.LineOf(node) } });

        public void Warned(uint node, string module, string message) =>
            client.Happened(new Event { Warning = new Warning { Message = message, Module = module, Line = plan.LineOf(node) } });

        public void Generated(NewToken token) => client.Happened(new Event { Token = token });
    }
}
