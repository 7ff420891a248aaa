using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>
/// A recording: the operations between its creation and <see cref="Tracer.RunAsync"/> become the program. Disposing a trace never runs it;
/// a trace that did not run is discarded. A trace inside a session runs with the session.
/// </summary>
public sealed class Trace : Tracer, IDisposable
{
    private readonly Recorder _recorder;
    private readonly Protocol.Messages.Trace _node;
    private readonly bool _isRoot;
    private readonly uint _line;
    private readonly Invoke? _singleInvoke;
    private readonly CallIndex _outerCall;
    private bool _isClosed;

    internal Trace(TracedModel model, object? input, Mode mode, Backend? backend, bool grad, Generation? generation) : base(model, backend)
    {
        _isRoot = Recorder.Ambient is null;
        if (Recorder.Ambient is { } session && !session.Program.Model.Equals(model.Reference)) Session.SwitchTo(model, session);
        if (!_isRoot && mode is Mode.Scan)
            throw new InvalidOperationException("A scan cannot be opened inside of a session or trace; open it before or after.");
        if (!_isRoot && backend is not null)
            throw new InvalidOperationException("A trace inside of a session runs where the session runs; pass remote: to the session.");
        if (Recorder.Ambient is { } outer && outer.Scopes.Any(s => s is Trace))
            throw new InvalidOperationException("A trace cannot be opened inside of another one; open it after that one's end, "
                + "or use t.Invoke(...) for another prompt of the same pass.");
        _recorder = Recorder.Ambient ?? Recorder.Begin(model.Reference);
        _node = new Protocol.Messages.Trace { Mode = mode, Gradients = grad, Generation = generation, Region = _recorder.OpenRegion() };
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

    internal Protocol.Messages.Trace Node => _node;

    /// <summary>
    /// The result of the traced method: the token ids of a generation [batch, prompt + new], or the output of the forward pass.
    /// </summary>
    public Value Result => Open().Value(new Node { Result = new ReadResult() });

    /// <summary>
    /// The calls of modules, which in a generation are its steps: <c>foreach (int step in t.Iter[..])</c>, <c>t.Iter[1..3]</c>,
    /// <c>t.Iter[0]</c>.
    /// </summary>
    public Iteration Iter => new(this);

    /// <summary>All calls of modules; the same as <c>t.Iter[..]</c>.</summary>
    public IEnumerable<int> All() => Iter[..];

    /// <summary>
    /// Advances to the next call of modules, or a later one, until the open invoke, step or branch ends; in a generation, to the next step.
    /// <see cref="Envoy.Next"/> does the same and returns the module.
    /// </summary>
    /// <param name="calls">The number of calls to advance.</param>
    public void Next(int calls = 1) => Open().Advance(calls);

    /// <summary>
    /// Adds a prompt (or several) to the pass. Interventions that are recorded until the invoke is disposed apply to its rows.
    /// </summary>
    /// <param name="input">As in <see cref="TransformersModel.Trace"/>.</param>
    /// <example><code>using (t.Invoke("Big Ben is in")) london = llm.LmHead.Output[.., ^1].Save();</code></example>
    public Invoke Invoke(object input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return OpenInvoke(input);
    }

    /// <summary>Adds token ids with a mask.</summary>
    /// <param name="inputIds">Token ids in any of the forms of <see cref="TransformersModel.Trace"/>.</param>
    /// <param name="attentionMask">0 where a token is padding; the shape of the ids.</param>
    public Invoke Invoke(object inputIds, object? attentionMask = null) =>
        OpenInvoke(PromptConverter.Combine(null, inputIds, attentionMask));

    /// <summary>
    /// Adds a prompt (or several) to a generation, with options for its rows. An option that is null has the value of the trace.
    /// </summary>
    /// <param name="input">As in <see cref="TransformersModel.Trace"/>.</param>
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

    /// <summary>
    /// Opens an invoke without a prompt: it sees the rows of the whole trace, independently of the order of the other invokes.
    /// </summary>
    public Invoke Invoke() => OpenInvoke(null);

    /// <summary>A point at which invokes wait for each other; see <see cref="Barrier.Wait"/>.</summary>
    /// <param name="participants">The number of invokes, at least 1.</param>
    public Barrier Barrier(int participants) => new(Open(), participants);

    /// <summary>
    /// Saves the outputs, and on request the inputs, of the modules that run from here on, after all interventions. Inside an invoke, it
    /// saves those of the invoke's rows.
    /// </summary>
    /// <param name="modules">The modules; all by default. A module list means its modules.</param>
    /// <param name="output">Whether outputs are saved.</param>
    /// <param name="inputs">Whether all arguments are saved.</param>
    /// <param name="dtype">The element type to which floating-point tensors are converted; null keeps theirs.</param>
    /// <param name="routing">
    /// Whether the experts of each token and their weights are saved, of all layers that have experts
    /// (<see cref="ActivationCache.Routing"/>).
    /// </param>
    /// <exception cref="ArgumentException">Neither outputs nor inputs nor routing are saved.</exception>
    /// <example><code>ActivationCache cache = t.Cache(output: false, routing: true);</code></example>
    public ActivationCache Cache(
        IEnumerable<Envoy>? modules = null, bool output = true, bool inputs = false, DType? dtype = null, bool routing = false)
    {
        if (!output && !inputs && !routing) throw new ArgumentException("A cache of neither outputs nor inputs holds nothing.");
        var cache = new Cache
        {
            Outputs = output, Inputs = inputs, Routing = routing, Dtype = dtype is { } type ? (DataType)type : DataType.Unspecified,
        };
        if (routing) Open().RequireFeature(ProgramFormat.Routing);
        if (modules is not null) cache.Modules.AddRange(modules.Select(m => m.Path));
        return new ActivationCache(Open().AddSaved(new Node { Cache = cache }), Model);
    }

    /// <summary>
    /// Starts the pass inside the model: <paramref name="value"/> is the module's input for the rows of the open invoke, and the layers
    /// before the module do not run for them. It must be the first statement of its invoke.
    /// </summary>
    /// <param name="module">A decoder layer, the final norm or the output projection.</param>
    /// <param name="value">Hidden states, one for each token of the prompt. [batch, seq, hidden]</param>
    /// <example><code>using (t.Invoke(prompt)) { t.StartAt(llm.Layers[3], hidden); logits = llm.Logits.Save(); }</code></example>
    public void StartAt(Envoy module, Value value) =>
        Open().Add(new Node { StartAt = new StartAt { Module = module.Path, Value = Open().Argument(value) } });

    /// <summary>
    /// Ends the invoke here: what it has recorded after this line does not run, and what it saved before is kept. It ends the part of this
    /// invoke only: the other invokes of the trace go on to their ends. When all invokes of the pass have ended, the pass ends too, and the
    /// modules that follow do not run.
    /// </summary>
    public void Stop() => Open().Add(new Node { Stop = new Stop() });

    /// <summary>
    /// Receives each new token of a generation as soon as it is known. It must be set before the trace runs. Without it, and without
    /// <see cref="GenerationOptions.Stream"/>, tokens are not sent one by one.
    /// </summary>
    public Action<GeneratedToken>? OnToken { get; set; }

    /// <summary>
    /// Asks the service for the cost of the experiment, and whether it may run. Nothing is queued. The call ends the recording; the trace
    /// can still run.
    /// </summary>
    /// <exception cref="InvalidOperationException">The trace would run locally.</exception>
    /// <exception cref="NdifException">The service would refuse the program, for this reason.</exception>
    public async Task<Estimate> EstimateAsync(CancellationToken cancellationToken = default)
    {
        RequireRunnable();
        if (Model.RunnerFor(Backend) is not Remote.RemoteService service)
            throw new InvalidOperationException("Only a service gives estimates: pass remote: true.");
        Close();
        RecordedRun run = CreateRun(_recorder);
        try
        {
            return await service.EstimateAsync(run.Program, cancellationToken);
        }
        catch (NdifException e)
        {
            throw Errors.ToException(run.WithLine(e.Error), e);
        }
    }

    /// <summary>Ends the trace. A trace that did not run is discarded; a trace inside a session runs with the session.</summary>
    public void Dispose()
    {
        if (_isClosed) return;
        if (!_isRoot)
        {
            Close();
            return;
        }
        // Open invokes are not reported here: Dispose may run because of an exception, which must not be hidden.
        _isClosed = true;
        _recorder.End();
    }

    internal override bool IsRemote => _recorder.Scopes.OfType<Session>().FirstOrDefault()?.IsRemote ?? base.IsRemote;

    private protected override string Kind => "trace";

    private protected override Recorder ScopeRecorder => _recorder;

    internal override Recorder Open() => !_isClosed ? _recorder
        : throw new InvalidOperationException("This trace is closed: it has run, or was disposed.");

    private Invoke OpenInvoke(object? input, Generation? generation = null)
    {
        if (_singleInvoke is not null)
            throw new InvalidOperationException(
                "This trace has its prompt already; open it without one (llm.Trace()) to use several invokes.");
        if (Open().Scopes.Peek() is Invoke { Thread: var thread } && thread != Environment.CurrentManagedThreadId)
            throw new InvalidOperationException(
                "An invoke cannot be opened inside of another invoke, and one that another thread has opened is still open. A trace is "
                + "recorded by one thread: use a loop in place of Parallel.For, or open a trace in each thread.");
        if (Open().Scopes.Peek() is not Trace)
            throw new InvalidOperationException(
                "An invoke cannot be opened inside of another invoke, a loop or a branch; dispose the open one first.");
        return new Invoke(this, input, generation);
    }

    private protected override void Close()
    {
        if (_isClosed) return;
        _singleInvoke?.Dispose();
        if (_recorder.Scopes.Peek() != (object)this)
            throw new InvalidOperationException("An invoke or loop of this trace is still open; dispose it before the trace is run.");
        LeaveScope();
        if (!_node.Invokes.Any(i => i.Input is not null))
        {
            _recorder.End();
            throw Errors.CreateException(ErrorCode.BadInput,
                "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt).");
        }
        if (OnToken is not null) EnableStreaming();
        RequireFeatures();
        uint node = _recorder.Add(new Node { Trace = _node, Line = _line });
        if (OnToken is { } handler) _recorder.TokenHandlers[node] = handler;
        if (_isRoot) _recorder.End();
    }

    /// <summary>Discards the trace with everything that is open in it, after an exception.</summary>
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

    /// <summary>A service that would ignore an option of this generation must refuse the program.</summary>
    private void RequireFeatures()
    {
        bool needsProcessors = _node.Invokes.Select(invoke => invoke.Generation).Prepend(_node.Generation)
            .Any(options => options is not null && GenerationOptionsValidator.RequiresLogitsProcessors(options));
        if (needsProcessors) _recorder.RequireFeature(ProgramFormat.LogitsProcessors);
        if (_node.Invokes.Any(invoke => invoke.Adapter)
            && _recorder.Program.Nodes.Any(node => node.Skip is not null || node.StartAt is not null))
            _recorder.RequireFeature(ProgramFormat.Adapters);
    }

    private void EnableStreaming()
    {
        if (_node.Generation is null)
            throw new InvalidOperationException("OnToken is told of a generation's tokens: open the trace with Generate(...).");
        _node.Generation.Stream = true;
        GenerationOptionsValidator.Validate(_node.Generation);
    }

    private protected override void RequireRunnable()
    {
        if (!_isRoot) throw new InvalidOperationException("A trace inside of a session runs with it: await session.RunAsync().");
        if (_recorder.HasRun) throw new InvalidOperationException("This trace has run already; open a new one.");
    }
}
