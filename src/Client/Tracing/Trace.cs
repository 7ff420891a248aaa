using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>
/// An open recording: what is written between its creation and <see cref="RunAsync"/> becomes the program. Disposing it never
/// runs it; a trace that was not run is thrown away. Inside a session it is one of the session's traces.
/// </summary>
public sealed class Trace : Scope, IDisposable
{
    private readonly TracedModel _model;
    private readonly Recorder _recorder;
    private readonly Protocol.Trace _node;
    private readonly Backend _backend;
    private readonly bool _isRoot;
    private readonly uint _line;
    private readonly Invoke? _singleInvoke;
    private readonly CallIndex _outerCall;
    private RecordedRun? _run;
    private bool _isClosed;

    internal Trace(TracedModel model, object? input, Mode mode, Backend? backend, bool grad, Generation? generation)
    {
        _model = model;
        _backend = backend ?? NdifConfig.DefaultBackend;
        _isRoot = Recorder.Ambient is null;
        if (Recorder.Ambient is { } session && !session.Program.Model.Equals(model.Reference))
            throw new InvalidOperationException($"A session is of one model: this one is of `{session.Program.Model.Id}`.");
        if (!_isRoot && backend is not null)
            throw new InvalidOperationException("A trace inside of a session runs where the session runs; pass remote: to the session.");
        if (Recorder.Ambient is { } outer && outer.Scopes.Any(s => s is Trace))
            throw new InvalidOperationException("A trace cannot be opened inside of another one; open it after that one's end, or use t.Invoke(...) for another prompt of the same pass.");
        _recorder = Recorder.Ambient ?? Recorder.Begin(model.Reference);
        _node = new Protocol.Trace { Mode = mode, Gradients = grad, Generation = generation, Region = _recorder.OpenRegion() };
        _line = _recorder.RecordCurrentLine();
        (_outerCall, _recorder.CurrentCall) = (_recorder.CurrentCall, new CallIndex { At = 0 });
        _recorder.Scopes.Push(this);
        if (input is not null)
        {
            try
            {
                _singleInvoke = new Invoke(this, input);
            }
            catch
            {
                Abandon();
                throw;
            }
        }
    }

    internal Recorder Recorder => _recorder;

    internal TracedModel Model => _model;

    internal Protocol.Trace Node => _node;

    /// <summary>
    /// What the traced method returned: the token ids of a generation [batch, prompt + new], or a forward's final output.
    /// </summary>
    public Value Result => Open().Value(new Node { Result = new ReadResult() });

    /// <summary>Iterates over the calls of modules: <c>foreach (int step in t.Iter[..])</c>, <c>t.Iter[1..3]</c>, <c>t.Iter[0]</c>.</summary>
    public Iteration Iter => new(this);

    /// <summary>All calls: <c>foreach (int step in t.All())</c> is <c>t.Iter[..]</c>.</summary>
    public IEnumerable<int> All() => Iter[..];

    /// <summary>
    /// From here on the next call of modules is meant (or a later one), until the invoke, step or branch that is open ends: in a
    /// generation, the next step. <see cref="Envoy.Next"/> says the same and gives the module.
    /// </summary>
    /// <param name="calls">How many calls further.</param>
    public void Next(int calls = 1) => Open().Advance(calls);

    /// <summary>Adds a prompt (or several) to the pass, with the interventions recorded until it is disposed.</summary>
    /// <example><code>using (t.Invoke("Big Ben is in")) london = llm.LmHead.Output[.., ^1].Save();</code></example>
    public Invoke Invoke(object input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return OpenInvoke(input);
    }

    /// <summary>Adds token ids, in any of a prompt's forms, with a mask that is 0 where a token is padding.</summary>
    public Invoke Invoke(object inputIds, object? attentionMask = null) => OpenInvoke(PromptConverter.Combine(null, inputIds, attentionMask));

    /// <summary>
    /// Adds a prompt (or several) to a generation, with options for its rows. An option that is null has the value of the trace.
    /// </summary>
    /// <param name="input">As in <see cref="LanguageModel.Trace"/>.</param>
    /// <param name="options">
    /// The options that differ from those of the trace. With a <see cref="GenerationOptions.Seed"/>, the rows draw the tokens of a trace of
    /// this prompt alone.
    /// </param>
    /// <param name="attentionMask">0 where a token is padding; the shape of the ids.</param>
    /// <exception cref="BadProgramException">BAD_ARGUMENT: an option is out of its bounds, or applies only to a whole trace.</exception>
    /// <exception cref="InvalidOperationException">The trace is not a generation.</exception>
    /// <example><code>using (t.Invoke(prompt, new() { Seed = 7 })) drawn = t.Result.Save();</code></example>
    public Invoke Invoke(object input, GenerationOptions options, object? attentionMask = null)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(options);
        if (_node.Mode is not Mode.Generate)
            throw new InvalidOperationException("Only a generation has these options: open the trace with Generate(...).");
        Generation generation = options.ToProto();
        GenerationOptionsValidator.ValidateForInvoke(generation);
        return OpenInvoke(attentionMask is null ? input : PromptConverter.Combine(null, input, attentionMask), generation);
    }

    /// <summary>An empty invoke: no prompt of its own; it sees the rows of the whole trace, in an order of its own.</summary>
    public Invoke Invoke() => OpenInvoke(null);

    /// <summary>A point at which a number of invokes wait for each other; see <see cref="Barrier.Wait"/>.</summary>
    public Barrier Barrier(int participants) => new(Open(), participants);

    /// <summary>
    /// Saves what modules give from here on, after all interventions: outputs, and inputs if asked for. Within an invoke: of its rows.
    /// </summary>
    /// <param name="modules">Which; all by default. A module list stands for its modules.</param>
    /// <param name="dtype">Floating-point tensors are kept as this type.</param>
    public ActivationCache Cache(IEnumerable<Envoy>? modules = null, bool output = true, bool inputs = false, DType? dtype = null)
    {
        if (!output && !inputs) throw new ArgumentException("A cache of neither outputs nor inputs holds nothing.");
        var cache = new Cache { Outputs = output, Inputs = inputs, Dtype = dtype is { } type ? (DataType)type : DataType.Unspecified };
        if (modules is not null) cache.Modules.AddRange(modules.Select(m => m.Path));
        return new ActivationCache(Open().AddSaved(new Node { Cache = cache }), _model);
    }

    /// <summary>
    /// Begins the pass in the middle of the model: <paramref name="value"/> is the module's input for the rows of the open invoke, and the
    /// layers before it do not run for them. The first thing in its invoke.
    /// </summary>
    /// <param name="module">A decoder layer, the final norm or the output projection.</param>
    /// <param name="value">Hidden states, as many as the prompt has tokens. [batch, seq, hidden]</param>
    /// <example><code>using (t.Invoke(prompt)) { t.StartAt(llm.Layers[3], hidden); logits = llm.Logits.Save(); }</code></example>
    public void StartAt(Envoy module, Value value) =>
        Open().Add(new Node { StartAt = new StartAt { Module = module.Path, Value = Open().Argument(value) } });

    /// <summary>Ends the model's pass here: what was saved before stays, what follows is not run.</summary>
    public void Stop() => Open().Add(new Node { Stop = new Stop() });

    /// <summary>Where log lines go; the console's output by default.</summary>
    public Action<string> OnLog { get; set; } = Console.WriteLine;

    /// <summary>Where warnings go; the console's error output by default.</summary>
    public Action<string> OnWarning { get; set; } = Console.Error.WriteLine;

    /// <summary>
    /// Told of each new token of a generation as it comes. Set before the trace runs; without it (and without stream: true) tokens do
    /// not travel.
    /// </summary>
    public Action<GeneratedToken>? OnToken { get; set; }

    /// <summary>Told of every event of the run: states, progress, values.</summary>
    public Action<JobEvent>? OnEvent { get; set; }

    /// <summary>Runs the experiment and fills what was saved. Cancelling cancels the job on the service.</summary>
    /// <exception cref="NdifException">It failed; the message names module and line.</exception>
    public async Task RunAsync(CancellationToken cancellationToken = default)
    {
        RequireRoot();
        Close();
        _run = new RecordedRun(_recorder, OnLog, OnWarning, OnEvent);
        await _run.RunAsync(_model.RunnerFor(_backend), cancellationToken);
    }

    /// <summary>Where the time of a remote run went; null before its end, and for a local one.</summary>
    public RunTimings? Timings => _run?.Timings;

    /// <summary><see cref="RunAsync"/> for scripts that do not await.</summary>
    public void Run() => RunAsync().GetAwaiter().GetResult();

    /// <summary>Hands the experiment to the service and does not wait. What was saved is filled when the job is followed to its end.</summary>
    public async Task<Job> SubmitAsync(CancellationToken cancellationToken = default)
    {
        RequireRoot();
        if (_model.RunnerFor(_backend) is not Remote.RemoteService service)
            throw new InvalidOperationException("Only a remote trace can be submitted without waiting: pass remote: true.");
        Close();
        return await Job.SubmitAsync(service, new RecordedRun(_recorder, OnLog, OnWarning, OnEvent), cancellationToken);
    }

    /// <summary>
    /// Asks the service what the experiment would cost, and whether it may run at all: nothing is queued. The trace is closed by it and
    /// may still be run.
    /// </summary>
    /// <exception cref="NdifException">Why the service would refuse it.</exception>
    public async Task<Estimate> EstimateAsync(CancellationToken cancellationToken = default)
    {
        RequireRoot();
        if (_model.RunnerFor(_backend) is not Remote.RemoteService service)
            throw new InvalidOperationException("Only a service gives estimates: pass remote: true.");
        Close();
        var run = new RecordedRun(_recorder, OnLog, OnWarning, OnEvent);
        try
        {
            return await service.EstimateAsync(run.Program, cancellationToken);
        }
        catch (NdifException e)
        {
            throw Errors.ToException(run.WithLine(e.Error), e);
        }
    }

    /// <summary>The program as it would be sent; the trace is closed by it.</summary>
    public Protocol.Program ToProgram()
    {
        Close();
        return _recorder.Program;
    }

    /// <summary>Ends the trace. One that was not run is thrown away; one inside of a session will run with it.</summary>
    public void Dispose()
    {
        if (_isClosed) return;
        if (!_isRoot)
        {
            Close();
            return;
        }
        // no complaint of what is still open: an exception may be on its way, and it says more
        _isClosed = true;
        _recorder.End();
    }

    internal override bool IsRemote => _recorder.Scopes.OfType<Session>().FirstOrDefault() is { } session ? session.IsRemote : _backend.Kind is BackendKind.Remote;

    internal override Recorder Open() => !_isClosed ? _recorder
        : throw new InvalidOperationException("This trace is closed: it has run, or was disposed.");

    private Invoke OpenInvoke(object? input, Generation? own = null)
    {
        if (_singleInvoke is not null)
            throw new InvalidOperationException("This trace has its prompt already; open it without one (llm.Trace()) to use several invokes.");
        if (Open().Scopes.Peek() is not Trace)
            throw new InvalidOperationException("An invoke cannot be opened inside of another invoke, a loop or a branch; dispose the open one first.");
        return new Invoke(this, input, own);
    }

    private void Close()
    {
        if (_isClosed) return;
        _singleInvoke?.Dispose();
        if (_recorder.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("An invoke or loop of this trace is still open; dispose it before the trace is run.");
        LeaveScope();
        if (!_node.Invokes.Any(i => i.Input is not null))
        {
            _recorder.End();
            throw Errors.CreateException(ErrorCode.BadInput, "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt).");
        }
        if (OnToken is not null) EnableStreaming();
        uint node = _recorder.Add(new Node { Trace = _node, Line = _line });
        if (OnToken is { } told) _recorder.TokenHandlers[node] = told;
        if (_isRoot) _recorder.End();
    }

    /// <summary>Throws the trace away, whatever is open in it: it may be an exception that ends it.</summary>
    private void Abandon()
    {
        while (_recorder.Scopes.Peek() != (object)this) _recorder.Scopes.Pop();
        LeaveScope();
        if (_isRoot) _recorder.End();
    }

    private void LeaveScope()
    {
        _isClosed = true;
        _recorder.Scopes.Pop();
        _recorder.CurrentCall = _outerCall;
        _recorder.CloseRegion();
    }

    private void EnableStreaming()
    {
        if (_node.Generation is null) throw new InvalidOperationException("OnToken is told of a generation's tokens: open the trace with Generate(...).");
        _node.Generation.Stream = true;
        GenerationOptionsValidator.Validate(_node.Generation);
    }

    private void RequireRoot()
    {
        if (!_isRoot) throw new InvalidOperationException("A trace inside of a session runs with it: await session.RunAsync().");
        if (_recorder.HasRun) throw new InvalidOperationException("This trace has run already; open a new one.");
    }
}
