using Ndif.Protocol;
using Ndif.Protocol.Messages;
using Ndif.Protocol.Programs;
using Ndif.Server.Edits;
using static Ndif.Server.OpenAi.ProgramWriter;

namespace Ndif.Server.OpenAi;

/// <summary>
/// The program of a completion: one trace over a generation, with an invoke for each choice, so that a choice has the tokens that it has
/// alone. Where log probabilities are asked for, the invoke saves them in each step:
/// <code>
///   step 0: logits of the prompt ──> log_softmax ──> prompt's values (echo), top-k ──> previous
///   step s: chosen token (streamer) ──> gather(previous, token) ; logits ──> log_softmax ──> top-k ──> previous
/// </code>
/// The last chosen token comes in a step of which the logits are never computed, which ends the loop.
///
/// Published edits are invokes beside that of each choice, before it, as the client records them. The program begins as that of the edits:
/// its prompt becomes the first choice, and the edits are copied for the others.
/// </summary>
internal sealed class CompletionProgram
{
    private readonly CompletionRequest _request;
    private readonly ProgramWriter _writer;
    private readonly List<ChoiceSaves> _saves = [];

    private CompletionProgram(CompletionRequest request, ProgramWriter writer) => (_request, _writer) = (request, writer);

    public Program Program => _writer.Program;

    /// <summary>The nodes of the values that each choice saves, in the order of the choices.</summary>
    public IReadOnlyList<ChoiceSaves> Saves => _saves;

    /// <summary>Writes the program of a request.</summary>
    /// <param name="maxTokens">The number of new tokens of a choice; 0 reads the prompt only.</param>
    public static CompletionProgram Write(
        CompletionRequest request, CompletionModel model, IReadOnlyList<CompletionPrompt> prompts, int maxTokens)
    {
        Program program = model.Edits is { } edits ? edits.Program.Clone()
            : new Program { Version = ProgramFormat.Version, Client = "openai", Model = model.Model, Regions = { new Region() } };
        Trace? template = model.Edits is null ? null : TakeTrace(program);
        var completion = new CompletionProgram(request, new ProgramWriter(program));
        completion.WriteTrace(template, prompts, maxTokens);
        return completion;
    }

    /// <summary>Removes the trace of published edits, which is the last node of their program.</summary>
    private static Trace TakeTrace(Program program)
    {
        Trace trace = program.Nodes[^1].Trace;
        program.Nodes.RemoveAt(program.Nodes.Count - 1);
        program.Regions[0].Nodes.RemoveAt(program.Regions[0].Nodes.Count - 1);
        return trace;
    }

    private void WriteTrace(Trace? template, IReadOnlyList<CompletionPrompt> prompts, int maxTokens)
    {
        var trace = new Trace { Mode = Mode.Forward, Region = template?.Region ?? _writer.AddRegion(() => { }) };
        if (maxTokens > 0)
        {
            trace.Mode = Mode.Generate;
            trace.Generation = _request.Sampling.Clone();
            (trace.Generation.MaxNewTokens, trace.Generation.ReturnSequences) = ((uint)maxTokens, 1);
            trace.Generation.Stop.AddRange(_request.Stop);
            if (GenerationOptionsValidator.RequiresLogitsProcessors(trace.Generation)
                && !Program.RequiredFeatures.Contains(ProgramFormat.LogitsProcessors))
                Program.RequiredFeatures.Add(ProgramFormat.LogitsProcessors);
        }
        foreach (CompletionPrompt prompt in prompts)
            for (int i = 0; i < _request.ChoiceCount; i++) AddChoice(trace, template, prompt, maxTokens);
        _writer.Add(new Node { Trace = trace });
    }

    /// <summary>Adds the invokes of a choice: the edits, and the choice itself.</summary>
    private void AddChoice(Trace trace, Trace? template, CompletionPrompt prompt, int maxTokens)
    {
        bool isFirst = trace.Invokes.Count == 0;
        Invoke[] edits = [.. template?.Invokes.Where(invoke => invoke.Input is null) ?? []];
        uint position = (uint)(trace.Invokes.Count + edits.Length);
        foreach (Invoke edit in edits)
        {
            uint region = isFirst ? edit.Region : new RegionCopier(Program).Copy(edit.Region);
            trace.Invokes.Add(new Invoke { Region = region, Beside = position, Adapter = edit.Adapter });
        }
        uint own = isFirst && template is not null ? template.Invokes.Single(invoke => invoke.Input is not null).Region
            : _writer.AddRegion(() => { });
        _writer.WriteRegion(own, () => WriteChoice(prompt, maxTokens));
        trace.Invokes.Add(new Invoke
        {
            Input = new Input { Tokens = { new TokenRow { Ids = { prompt.Ids.Select(id => (long)id) } } } }, Region = own,
        });
    }

    private void WriteChoice(CompletionPrompt prompt, int maxTokens)
    {
        var saves = new ChoiceSaves();
        _saves.Add(saves);
        if (_request.TopLogprobs is not { } top && maxTokens > 0) return;
        top = _request.TopLogprobs ?? 0;
        uint first;
        if (_request.Echo)
        {
            uint all = LogSoftmax(Logits(new CallIndex { At = 0 }, new Argument { Integer = 0 })); // [seq, vocab]
            if (prompt.Ids.Count > 1) WritePrompt(saves, prompt, all, top);
            first = _writer.Call("getitem", Of(all), Of(-1L));                                     // [vocab]
        }
        else first = LogSoftmax(LastLogits(new CallIndex { At = 0 }));                             // [vocab]
        // a pass without new tokens must save something
        if (maxTokens == 0) saves.End = _writer.Save(_writer.Call("getitem", Of(first), Of(0L)));
        else WriteSteps(saves, first, top);
    }

    /// <summary>Saves the log probabilities of the tokens of the prompt from the second on.</summary>
    private void WritePrompt(ChoiceSaves saves, CompletionPrompt prompt, uint all, int top)
    {
        uint before = _writer.Call("getitem", Of(all),
            new Argument { Slice = new Slice { Start = None(), Stop = Of(-1L), Step = None() } }); // [seq - 1, vocab]
        uint chosen = _writer.Call("gather", Of(before), Of(1L), AddIds(prompt.Ids.Skip(1)));      // [seq - 1, 1]
        saves.PromptLogprobs = _writer.Save(chosen);
        if (top > 0) (saves.PromptTopValues, saves.PromptTopIds) = WriteTop(before, top);
    }

    /// <summary>Saves, for each new token, its log probability, and the likely tokens of its step.</summary>
    private void WriteSteps(ChoiceSaves saves, uint first, int top)
    {
        if (top > 0) (saves.FirstTopValues, saves.FirstTopIds) = WriteTop(first, top);
        uint previous = _writer.Add(new Node { Container = new MakeContainer { Items = { Of(first) } } }); // a variable
        var step = new CallIndex { Step = new Nothing() };
        uint region = _writer.AddRegion(() =>
        {
            uint token = Read(new Site { Module = GeneratorSites.Streamer, Kind = SiteKind.Output }, step);    // [1]
            uint before = _writer.Call("getitem", Of(previous), Of(0L));                                       // [vocab]
            saves.Logprob = _writer.Save(_writer.Call("gather", Of(before), Of(0L), Of(token)));               // [1]
            uint next = LogSoftmax(LastLogits(step));                                                          // [vocab]
            if (top > 0) (saves.TopValues, saves.TopIds) = WriteTop(next, top);
            _writer.Add(new Node { SetVariable = new SetVariable { Node = previous, Value = Of(next) } });
        });
        _writer.Add(new Node { Steps = new StepLoop { Each = new StepRange { Start = 1, Stride = 1 }, Region = region } });
    }

    private (uint Values, uint Ids) WriteTop(uint logprobs, int count)
    {
        uint top = _writer.Call("topk", Of(logprobs), Of(count));
        return (_writer.Save(_writer.Call("getitem", Of(top), Of(0L))), _writer.Save(_writer.Call("getitem", Of(top), Of(1L))));
    }

    private uint LogSoftmax(uint logits) => _writer.Call("log_softmax", Of(_writer.Call("float", Of(logits))), Of(-1L));

    private uint LastLogits(CallIndex call) => Logits(call, new Argument { Tuple = new ArgumentList { Items = { Of(0L), Of(-1L) } } });

    /// <summary>Reads the logits of the model's output. [1, seq, vocab], then indexed</summary>
    private uint Logits(CallIndex call, Argument index)
    {
        uint output = Read(new Site { Kind = SiteKind.Output }, call);
        return _writer.Call("getitem", Of(_writer.Call("getitem", Of(output), new Argument { Text = "logits" })), index);
    }

    private uint Read(Site site, CallIndex call) => _writer.Add(new Node { Read = new ReadSite { Site = site, Call = call.Clone() } });

    /// <summary>Adds a column of token ids as a constant. [tokens, 1]</summary>
    private Argument AddIds(IEnumerable<int> ids)
    {
        long[] column = [.. ids];
        Program.Constants.Add(TensorData.FromArray(column, column.Length, 1).ToProto());
        return new Argument { Constant = (uint)Program.Constants.Count - 1 };
    }

    private static Argument None() => new() { None = new Nothing() };
}

/// <summary>The nodes of the values that the invoke of a choice saves; null for those that it does not.</summary>
internal sealed class ChoiceSaves
{
    /// <summary>The log probabilities of the tokens of the prompt from the second on. [tokens, 1]</summary>
    public uint? PromptLogprobs { get; set; }

    /// <summary>The likely tokens in place of these. [tokens, count]</summary>
    public uint? PromptTopValues { get; set; }

    public uint? PromptTopIds { get; set; }

    /// <summary>The likely tokens in place of the first new one. [count]</summary>
    public uint? FirstTopValues { get; set; }

    public uint? FirstTopIds { get; set; }

    /// <summary>The log probability of each new token, in turn. [1]</summary>
    public uint? Logprob { get; set; }

    /// <summary>The likely tokens in place of each new token after the first, in turn. [count]</summary>
    public uint? TopValues { get; set; }

    public uint? TopIds { get; set; }

    /// <summary>A value that is saved by a pass without new tokens.</summary>
    public uint? End { get; set; }
}
