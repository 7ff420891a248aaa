namespace Ndif.Language.Tests;

/// <summary>
/// Every misuse that nnsight's documentation and its test_debug.py name. All three execution modes throw the same exception with the same
/// text, which names the module and the user's line and says what to do.
/// </summary>
public sealed class MisuseTests(ServiceFixture service) : LanguageTests(service)
{
    private sealed record Misuse(Func<LanguageModel, Task> Do, Type Type, params string[] Says);

    private static readonly Dictionary<string, Misuse> _all = new()
    {
        ["a module that is not there"] = new(Run(llm => llm["transformer.h.0.mpl"].Output.Save()),
            typeof(BadProgramException), "`GPT2LMHeadModel` has no module `transformer.h.0.mpl`.", "Did you mean `mlp`"),
        ["a list's index out of range"] = new(Run(llm => llm["transformer.h"][4].Output.Save()),
            typeof(IndexOutOfRangeException), "Index 4 is out of range: `transformer.h` has 4 modules."),
        ["an index into what is no list"] = new(Run(llm => llm["transformer"][0].Output.Save()),
            typeof(IndexOutOfRangeException), "`transformer` is a GPT2Model, not a list of modules", "wte, wpe, drop, h, ln_f"),
        ["the output of a list"] = new(Run(llm => llm["transformer.h"].Output.Save()),
            typeof(BadProgramException), "`transformer.h` is a list of modules: it is never called itself", "Index it: [0..3]",
            "MisuseTests.cs:"),
        ["a parameter that is not there"] = new(Run(llm => llm.LmHead.Parameter("bias").Save()),
            typeof(BadProgramException), "`lm_head` has no parameter `bias`.", "It has `weight`."),
        ["an output outside of a trace"] = new(llm => Task.FromResult(llm.LmHead.Output),
            typeof(InvalidOperationException),
            "Cannot access `lm_head.Output` outside of a trace: open one with `using var t = model.Trace(...)`."),
        ["a write outside of a trace"] =
        new(llm => Task.FromResult(llm.LmHead.Output = 0), typeof(InvalidOperationException),
            "Cannot access `lm_head.Output` outside of a trace"),
        ["a skip outside of a trace"] = new(llm =>
        {
            llm.Layers[1].Skip(0);
            return Task.CompletedTask;
        }, typeof(InvalidOperationException), "Cannot access `transformer.h.1.Skip` outside of a trace"),
        ["a trace without input"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "The trace has no input.", "Pass a prompt to Trace(...), or open at least one t.Invoke(prompt)."),
        ["a read without input"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            llm.LmHead.Output.Save();
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "The trace has no input."),
        ["an input without tokens"] =
        new(llm => Task.FromResult(llm.Trace("")), typeof(NdifException), "The input has no tokens.", "Pass a prompt that is not empty"),
        ["a token that is not in the vocabulary"] = new(Run(new[] { 1, 1422 }, llm => llm.LmHead.Output.Save()),
            typeof(NdifException), "The token id 1422 is not in the vocabulary of 1422 tokens.", "MisuseTests.cs:"),
        ["too long a prompt"] =
        new(Run(new int[129], llm => llm.LmHead.Output.Save()), typeof(NdifException), "A row has 129 tokens",
            "the model's context is 128 tokens"),
        ["a trace inside of a trace"] =
        new(Run(llm => llm.Trace(Rome)), typeof(InvalidOperationException), "A trace cannot be opened inside of another one"),
        ["an invoke beside a prompt"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            using Invoke second = t.Invoke(Rome);
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "This trace has its prompt already"),
        ["an invoke inside of an invoke"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            using Invoke first = t.Invoke(Paris);
            using Invoke second = t.Invoke(Rome);
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException),
        "An invoke cannot be opened inside of another invoke, a loop or a branch; dispose the open one first."),
        ["an index out of range"] = new(Run(llm => llm.Layers[0].Hidden[.., 10] = 0),
            typeof(IndexOutOfRangeException), "index 10 is out of bounds for dimension 1 with size 8", "MisuseTests.cs:",
            "llm.Layers[0].Hidden[.., 10] = 0"),
        ["shapes that do not fit"] =
        new(Run(llm => (llm.Layers[0].Hidden + TensorData.Zeros([3])).Save()), typeof(ShapeMismatchException), "[1, 8, 128]", "[3]",
            "MisuseTests.cs:"),
        ["a replacement of another shape"] = new(Run(llm => llm.Layers[0].Hidden = llm.Layers[0].Hidden[.., 1..]),
            typeof(ShapeMismatchException),
            "`transformer.h.0.output` has the shape [1, 8, 128] here; it cannot be replaced by [1, 7, 128].",
            "must have the site's own shape", "MisuseTests.cs:"),
        ["a replacement of another kind"] = new(Run(llm => llm.Layers[0].Mlp.Output = llm.Layers[0].Mlp.Output.Shape),
            typeof(BadProgramException), "`transformer.h.0.mlp.output` is a tensor of shape [1, 8, 128]; it cannot be replaced by a list",
            "MisuseTests.cs:"),
        ["arithmetic on a tuple"] = new(Run(llm => llm.Layers[0].Attn.Output *= 0), typeof(BadProgramException),
            "must be Tensor or number, not a tuple of 2", "has its tensor at Output[0], and as Hidden"),
        ["arithmetic on a tuple of one"] = new(Run(llm => (llm.Layers[0].Output + 1).Save()), typeof(BadProgramException),
            "not a tuple of 1", "has its tensor at Output[0], and as Hidden"),
        ["the shape of a tuple"] = new(Run(llm => llm.Layers[0].Output.Shape.Save()), typeof(BadProgramException),
            "not a tuple of 1", "has its tensor at Output[0], and as Hidden"),
        ["a slice of a tuple"] = new(Run(llm => llm.Layers[0].Output[.., ^1].Save()), typeof(BadProgramException),
            "tuple indices must be integers or slices", "has its tensor at Output[0], and as Hidden"),
        ["an assignment into a tuple"] = new(Run(llm => llm.Layers[0].Output[.., ^1] = 0), typeof(BadProgramException),
            "'tuple' object does not support item assignment", "`module.Hidden[..] = value`"),
        ["a tuple as the input of a module"] = new(Run(llm => llm.LmHead.Call(llm.Layers[0].Output).Save()), typeof(BadProgramException),
            "Argument 0 must be a tensor, not a tuple of 1.", "has its tensor at Output[0], and as Hidden"),
        ["a tuple as a condition"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.If(llm.Layers[0].Output, () => llm.Layers[1].Hidden.Save());
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "A tuple of 1 is no condition.", "has its tensor at Output[0], and as Hidden"),
        ["a tuple of another length"] = new(Run(llm => llm.Layers[1].Attn.Output = llm.Layers[0].Output), typeof(ShapeMismatchException),
            "`transformer.h.1.attn.output` is a tuple of 2; it was assigned 1 values.", "assign to Hidden"),
        ["a slice of the model's output"] = new(Run(llm => llm.Output[.., ^1].Save()), typeof(BadProgramException),
            "dict indices must be names, integers or slices", "Take one of its entries: `[\"logits\"]`."),
        ["arithmetic on the model's output"] = new(Run(llm => (llm.Output + 1).Save()), typeof(BadProgramException),
            "not a dict", "Take one of its entries: `[\"logits\"]`."),
        ["a write of a later value"] = new(Run(llm => llm.Layers[0].Hidden = llm.Layers[1].Hidden), typeof(OutOfOrderException),
            "It depends on `transformer.h.1.output`, which the model computes later in the same pass",
            "Save that value in a trace before this one"),
        ["a write on a later condition"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.If(llm.LmHead.Output.Norm() > 0, () => llm.Layers[1].Hidden = 0);
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "It depends on `lm_head.output`, which the model computes later in the same pass"),
        ["a write of a later value of another invoke"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            Value late;
            using (t.Invoke(Paris)) late = llm.Layers[2].Hidden;
            using (t.Invoke(Paris)) llm.Layers[1].Hidden = late;
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "It depends on `transformer.h.2.output`, which the model computes later in the same pass"),
        ["a read after the result"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.Result.Save();
            llm.Layers[1].Hidden.Save();
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "move `transformer.h.1.output` up", "(here the trace's result, a barrier, or a value of another"),
        ["an earlier step after a later one"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 3);
            foreach (int _ in t.Iter[2]) llm.Layers[0].Hidden.Save();
            foreach (int _ in t.Iter[1]) llm.Layers[0].Hidden.Save();
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "(here call 2 of `transformer.h.0.output` came first)"),
        ["a backward pass of a generation"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            t.Backward(llm.LmHead.Output.Sum());
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "Backward needs a trace with gradients. A generation has none.", "Trace(prompt, grad: true)"),
        ["a gradient of a generation"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            llm.Layers[0].Hidden.Grad.Save();
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "Gradients need a trace of one forward pass: Trace(prompt, grad: true)."),
        ["a gradient of a trace without gradients"] = new(Run(llm => llm.Layers[0].Hidden.Grad.Save()), typeof(NdifException),
            "Open the trace with grad: true, and call Backward(loss) before"),
        ["a scan in a session"] = new(async llm =>
        {
            using Session s = llm.Session();
            using (llm.Scan(Paris)) llm.LmHead.Output.Save();
            await s.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "A scan cannot be opened inside of a session or trace; open it before or after."),
        ["a lambda that returns a task"] = new(llm => llm.TraceAsync(Paris, t => Task.FromResult(llm.LmHead.Output.Save())),
            typeof(ArgumentException), "An async lambda cannot be recorded"),
        ["an async function of t.Local"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.Local(async (TensorData _) => await Task.Yield(), llm.LmHead.Output);
            await t.RunAsync(Cancel);
        }, typeof(ArgumentException), "The function of t.Local cannot be async"),
        ["an invoke of another thread"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            using Invoke first = t.Invoke(Paris);
            await Task.Factory.StartNew(() => t.Invoke(Rome).Dispose(), Cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }, typeof(InvalidOperationException), "one that another thread has opened is still open", "in place of Parallel.For"),
        ["an order that threads made by chance"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            llm.Layers[2].Hidden.Save();
            await Task.Factory.StartNew(() => llm.Layers[1].Hidden.Save(), Cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "Several threads have recorded this trace."),
        ["an async method in a loop's lambda"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            var lambdaHasReturned = new TaskCompletionSource();
            Task? work = null;
            t.Iter.Each(_ => work = RecordLaterAsync());
            lambdaHasReturned.SetResult();
            await work!;

            async Task RecordLaterAsync()
            {
                await lambdaHasReturned.Task;
                llm.LmHead.Output.Save();
            }
        }, typeof(InvalidOperationException), "went on after its first await, when the lambda had returned"),
        ["an integer replacement of a hidden state"] = new(Run(llm => llm.Layers[0].Hidden = llm.Layers[0].Hidden.Long()),
            typeof(BadProgramException), "`transformer.h.0.output` is a tensor of float32 here; it cannot be replaced by one of int64",
            "Convert the replacement: `.To(DType.Float32)`.", "MisuseTests.cs:"),
        ["a replacement of flags"] = new(Run(llm => llm.Layers[0].Mlp.Output = llm.Layers[0].Mlp.Output > 0),
            typeof(BadProgramException), "`transformer.h.0.mlp.output` is a tensor of float32 here; it cannot be replaced by one of bool"),
        ["a complex replacement"] = new(Run(llm => llm.Layers[0].Mlp.Input = TensorData.FromArray(new System.Numerics.Complex[1024])
            .Reshape(1, 8, 128)), typeof(BadProgramException),
            "`transformer.h.0.mlp.input` is a tensor of float32 here; it cannot be replaced by one of complex128"),
        ["an integer in the output of a tuple"] = new(Run(llm => llm.Layers[0].Output = llm.Layers[0].Hidden.Int()),
            typeof(BadProgramException), "`transformer.h.0.output` is a tensor of float32 here; it cannot be replaced by one of int32"),
        ["token ids that are no whole numbers"] = new(Run(llm => llm["transformer.wte"].Input = llm["transformer.wte"].Input * 1.5),
            typeof(BadProgramException), "`transformer.wte.input` is a tensor of int64 here; it cannot be replaced by one of float32",
            "`.To(DType.Int64)`"),
        ["a token id that is no whole number"] = new(Run(llm => llm["transformer.wte"].Input = 1.5),
            typeof(BadProgramException), "`transformer.wte.input` is a tensor of int64 here; it cannot be filled with the float 1.5.",
            "Assign a whole number."),
        ["a skip with integers"] = new(Run(llm => llm.Layers[1].Skip(llm.Layers[1].Input.Long())),
            typeof(BadProgramException), "`transformer.h.1.output` is a tensor of float32 here; it cannot be replaced by one of int64"),
        ["a start with integers"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.StartAt(llm.Layers[2], TensorData.FromArray(new long[1024]).Reshape(1, 8, 128));
            llm.Layers[3].Hidden.Save();
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "is a tensor of float32 here; it cannot be replaced by one of int64"),
        ["an integer gradient"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris, grad: true);
            Value hidden = llm.Layers[0].Hidden;
            t.Backward(llm.LmHead.Output.Sum(), () => hidden.Grad = hidden.Grad.Long());
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "`Grad` is a tensor of float32 here; it cannot be replaced by one of int64"),
        ["a read that comes too late"] = new(Run(llm =>
        {
            llm.Layers[3].Output.Save();
            llm.Layers[0].Output.Save();
        }), typeof(OutOfOrderException), "Value was missed for `transformer.h.0.output` (call 0)", "move `transformer.h.0.output` up",
        "llm.Layers[0].Output.Save();"),
        ["a write that comes too late"] = new(Run(llm =>
        {
            llm.Layers[3].Output.Save();
            llm.Layers[0].Hidden = llm.Layers[3].Hidden;
        }), typeof(OutOfOrderException), "`transformer.h.0.output`", "llm.Layers[0].Hidden = llm.Layers[3].Hidden;"),
        ["a new input after the output"] = new(Run(llm =>
        {
            llm.Layers[1].Output.Save();
            llm.Layers[1].Input = 0;
        }), typeof(OutOfOrderException), "Value was missed for `transformer.h.1.input`", "llm.Layers[1].Input = 0;"),
        ["an input edited after the output"] = new(Run(llm =>
        {
            llm.Layers[1].Output.Save();
            llm.Layers[1].Input[..] = 0;
        }), typeof(OutOfOrderException), "This input cannot be edited any more: its module has run with it.",
        "llm.Layers[1].Input[..] = 0;"),
        ["an input after a later module"] = new(Run(llm =>
        {
            llm.Layers[2].Output.Save();
            llm.Layers[1].Input.Save();
        }), typeof(OutOfOrderException), "`transformer.h.1.input`", "llm.Layers[1].Input.Save();"),
        ["a skip that comes too late"] =
        new(Run(llm => llm.Layers[1].Skip(llm.Layers[1].Output)), typeof(OutOfOrderException),
            "Value was missed for `transformer.h.1.input`", "MisuseTests.cs:"),
        ["a skip with another shape"] = new(Run(llm => llm.Layers[1].Skip(llm.Layers[0].Hidden[.., 1..])),
            typeof(ShapeMismatchException), "`transformer.h.1.output` cannot be skipped with a tensor of shape [1, 7, 128]",
            "MisuseTests.cs:"),
        ["what is inside of a skipped module"] = new(Run(llm =>
        {
            llm.Layers[1].Skip(llm.Layers[0].Output);
            llm.Layers[1].Attn.Output.Save();
        }), typeof(MissedValueException), "Execution complete but `transformer.h.1.attn.output` (call 0) was not provided",
        "it lies behind a skipped or stopped module", "MisuseTests.cs:"),
        ["a skip in the first step of a generation only"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            llm.Layers[1].Skip(llm.Layers[0].Output);
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "Layer 1 did not run in an earlier step, so its cache has 0 of 8 tokens.", "MisuseTests.cs:"),
        ["a barrier of more than come"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            Barrier barrier = t.Barrier(2);
            using (t.Invoke(Paris)) barrier.Wait();
            using (t.Invoke(Rome)) llm.LmHead.Output.Save();
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "A barrier waits for 2 invokes, but fewer came to it.", "Call Wait() in as many invokes",
        "MisuseTests.cs:"),
        ["a negative step"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            foreach (int _ in t.Iter[-1]) { }
            await t.RunAsync(Cancel);
        }, typeof(ArgumentOutOfRangeException), "Iteration cannot be negative."),
        ["an iteration inside of an iteration"] = new(async llm =>
        {
            using Trace t = llm.Generate(Paris, maxNewTokens: 2);
            foreach (int _ in t.Iter[..])
                foreach (int __ in t.Iter[..]) { }
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "An iteration cannot be opened inside of another one."),
        ["a value before it is set"] = new(llm =>
        {
            using Trace t = llm.Trace(Paris);
            return Task.FromResult(llm.LmHead.Output.Save().Tensor);
        }, typeof(InvalidOperationException), "Accessing value before it's been set. It has a value after the trace has run."),
        ["a value of a trace that was not kept"] = new(async llm =>
        {
            Value hidden = await llm.TraceAsync(Paris, _ => llm.Layers[0].Hidden, cancellationToken: Cancel);
            using Trace t = llm.Trace(Paris);
            llm.Layers[0].Hidden = hidden;
        }, typeof(InvalidOperationException), "This value belongs to another trace and was not kept: Save() it there"),
        ["a value outside of its trace"] =
        new(async llm => _ = await llm.TraceAsync(Paris, _ => llm.Layers[0].Hidden, cancellationToken: Cancel) + 1,
            typeof(InvalidOperationException), "can be used only inside of a trace"),
        ["a saved value after a stop"] = new(async llm =>
        {
            Saved late = await llm.TraceAsync(Paris, t =>
            {
                t.Stop();
                return llm.LmHead.Output.Save();
            }, cancellationToken: Cancel);
            _ = late.Tensor;
        }, typeof(InvalidOperationException), "The trace ran, but not this save"),
        ["two runs of a trace"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            await t.RunAsync(Cancel);
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "This trace has run already; open a new one."),
        ["a cache of nothing"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.Cache(output: false);
            await t.RunAsync(Cancel);
        }, typeof(ArgumentException), "A cache of neither outputs nor inputs holds nothing."),
        ["a cache of a list"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.Cache(modules: [llm["transformer.h"]]);
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "`transformer.h` is a list of modules: it is never called itself.", "Cache its modules.",
        "MisuseTests.cs:"),
        ["a module that was never cached"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            ActivationCache cache = t.Cache(modules: llm.Layers);
            await t.RunAsync(Cancel);
            _ = cache["transformer.h.5"];
        }, typeof(KeyNotFoundException), "`transformer.h.5` was never cached. Did you mean `transformer.h.0`"),
        ["no edits to export"] = new(llm =>
        {
            llm.ExportEdits("never");
            return Task.CompletedTask;
        }, typeof(InvalidOperationException),
        "There are no edits to export: a model cannot be exported before Edit(...) was called on it."),
        ["a session's trace with a place of its own"] = new(async llm =>
        {
            using Session s = llm.Session();
            using Trace t = llm.Trace(Paris, remote: true);
            await s.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "A trace inside of a session runs where the session runs; pass remote: to the session."),
        ["a session with an open trace"] = new(async llm =>
        {
            using Session s = llm.Session();
            using Trace t = llm.Trace(Paris);
            await s.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "A trace of this session is still open"),
        ["a gradient without a graph"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            Value hidden = llm.Layers[1].Hidden;
            t.Backward(llm.LmHead.Output.Sum(), () => hidden.Grad.Save());
            await t.RunAsync(Cancel);
        }, typeof(NdifException), "grad: true", "MisuseTests.cs:"),
        ["gradients in forward order"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris, grad: true);
            Value early = llm.Layers[1].Hidden, late = llm.Layers[2].Hidden;
            t.Backward(llm.LmHead.Output.Sum(), () =>
            {
                early.Grad.Save();
                late.Grad.Save();
            });
            await t.RunAsync(Cancel);
        }, typeof(OutOfOrderException), "reverse order", "late.Grad.Save();"),
        ["a module in a backward block"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris, grad: true);
            t.Backward(llm.LmHead.Output.Sum(), () => llm.Layers[1].Output.Save());
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "Inside of a backward block only gradients can be read; read sites before it.", "MisuseTests.cs:"),
        ["an index error in a backward block"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris, grad: true);
            Value hidden = llm.Layers[1].Hidden;
            t.Backward(llm.LmHead.Output.Sum(), () => hidden.Grad[.., 99].Save());
            await t.RunAsync(Cancel);
        }, typeof(IndexOutOfRangeException), "index 99 is out of bounds for dimension 1 with size 8", "hidden.Grad[.., 99].Save()"),
        ["an operation that is not in the source"] = new(Run(llm => llm.Layers[0].Attn.Source["attention_interface"].Output.Save()),
            typeof(BadProgramException), "attention_interface", "Did you mean `attention_interface_0`?"),
        ["the source of a submodule's call"] = new(Run(llm => llm.Layers[0].Attn.Source["self_c_attn_0"].Source["x"].Output.Save()),
            typeof(BadProgramException), "transformer.h.0.attn"),
        ["a module attached under a taken name"] = new(llm => Task.FromResult(llm.Layers[0].Attach("mlp", new Nothing())),
            typeof(InvalidOperationException), "`transformer.h.0.mlp` is a module of the model; attach under another name."),
        ["a module attached to a list"] = new(llm => Task.FromResult(llm["transformer.h"].Attach("sae", new Nothing())),
            typeof(InvalidOperationException), "`transformer.h` is a list of modules; attach to one of them."),
        ["a temperature of zero"] =
        new(llm => Task.FromResult(llm.Generate(Paris, options: new() { Temperature = 0 })), typeof(BadProgramException), "temperature"),
        ["options of a generation in a forward"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            using Invoke invoke = t.Invoke(Paris, new() { Temperature = 0.5 });
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "Only a generation has these options: open the trace with Generate(...)."),
        ["tokens of a forward"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.OnToken = _ => { };
            await t.RunAsync(Cancel);
        }, typeof(InvalidOperationException), "OnToken is told of a generation's tokens: open the trace with Generate(...)."),
        ["a start in the middle of a layer"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.StartAt(llm.Layers[2].Attn, TensorData.Zeros([1, 8, 128]));
            await t.RunAsync(Cancel);
        }, typeof(BadProgramException), "The pass cannot start at `transformer.h.2.attn`.", "It can start at a decoder layer",
        "MisuseTests.cs:"),
        ["an optimizer of what is no parameter"] = new(async llm =>
        {
            using Session s = llm.Session();
            s.SGD([TensorData.Zeros([2])]);
            await s.RunAsync(Cancel);
        }, typeof(ArgumentException), "An optimizer trains what Parameter(...) returned."),
        ["an error in the second invoke"] = new(async llm =>
        {
            using Trace t = llm.Trace();
            using (t.Invoke(Rome)) llm.Layers[0].Hidden.Save();
            using (t.Invoke(Paris)) llm.Layers[0].Hidden[.., 77].Save();
            await t.RunAsync(Cancel);
        }, typeof(IndexOutOfRangeException), "index 77 is out of bounds for dimension 1 with size 8",
        "llm.Layers[0].Hidden[.., 77].Save();"),
        ["an error in a helper"] =
        new(Run(llm => Helper(llm.Layers[0].Hidden).Save()), typeof(IndexOutOfRangeException), "index 55 is out of bounds", "in Helper",
            "=> hidden[.., 55]"),
        ["an error after others went well"] = new(Run(llm =>
        {
            (llm.Layers[0].Hidden * 2).Save();
            llm.Layers[1].Hidden.Norm().Save();
            llm.Layers[2].Hidden[.., 33].Save();
        }), typeof(IndexOutOfRangeException), "index 33", "llm.Layers[2].Hidden[.., 33].Save();"),
        ["an error in a branch"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            t.If(llm.Layers[0].Hidden.Norm() > 0, () => llm.Layers[1].Hidden[.., 44].Save());
            await t.RunAsync(Cancel);
        }, typeof(IndexOutOfRangeException), "index 44", "llm.Layers[1].Hidden[.., 44].Save()"),
        ["an error in a loop"] = new(async llm =>
        {
            using Trace t = llm.Trace(Paris);
            Value hidden = llm.Layers[0].Hidden;
            t.ForEach(Enumerable.Range(6, 4), i => hidden[.., i].Norm());
            await t.RunAsync(Cancel);
        }, typeof(IndexOutOfRangeException), "index 8 is out of bounds for dimension 1 with size 8", "hidden[.., i].Norm()"),
    };

    private sealed class Nothing : ModuleDefinition
    {
        protected override Value Forward(Value input) => input;
    }

    public static TheoryData<string> All => [.. _all.Keys];

    private static Value Helper(Value hidden) => hidden[.., 55];

    private static Func<LanguageModel, Task> Run(Action<LanguageModel> experiment) => Run(Paris, experiment);

    private static Func<LanguageModel, Task> Run(object prompt, Action<LanguageModel> experiment) => async llm =>
    {
        using Trace t = llm.Trace(prompt);
        experiment(llm);
        await t.RunAsync(Cancel);
    };

    [Theory, MemberData(nameof(All))]
    [PortedFrom("test_debug/TestExceptionReconstruction.test_index_error_shows_correct_line",
        "test_debug/TestExceptionReconstruction.test_attribute_error_in_trace",
        "test_debug/TestExceptionReconstruction.test_exception_type_preserved",
        "test_debug/TestNestedContextExceptions.test_exception_in_invoke",
        "test_debug/TestNestedContextExceptions.test_exception_in_second_invoke",
        "test_debug/TestNestedContextExceptions.test_exception_in_helper_function",
        "test_debug/TestNestedContextExceptions.test_exception_in_backward_context",
        "test_debug/TestDanglingMediators.test_nonexistent_module_path",
        "test_debug/TestTraceInputRequirements.test_trace_with_no_args_no_invokes",
        "test_debug/TestGradientOrderErrors.test_gradient_wrong_order",
        "test_debug/TestMultipleErrorScenarios.test_error_after_successful_operations",
        "test_debug/TestMultipleErrorScenarios.test_conditional_error",
        "test_debug/TestMultipleErrorScenarios.test_loop_error",
        "test_debug/TestBackwardTracerRestrictions.test_backward_restriction_documented",
        "test_debug/TestNestedInvokeError.test_invoke_inside_invoke",
        "test_iter_edge_cases/TestTraceNoInputError.test_trace_no_input_raises_value_error",
        "test_0516_features/TestExceptionHandling.test_index_error_traceback",
        "test_0516_features/TestExceptionHandling.test_exception_wrapper_type",
        "test_0516_features/TestExceptionHandling.test_attribute_error_traceback",
        "test_serve_async/TestErrorHandling.test_failing_intervention_raises_runtime_error",
        "test_serve_async/TestErrorHandling.test_failing_intervention_traceback_preserved")]
    public async Task AMisuse_IsTheSameError_InAllWays(string misuse)
    {
        (Func<LanguageModel, Task> use, Type type, string[] says) = _all[misuse];
        List<Exception> thrown = [];
        foreach (ExecutionMode way in Enum.GetValues<ExecutionMode>())
            thrown.Add(await Assert.ThrowsAnyAsync<Exception>(() => use(Model(way))));
        Assert.True(type == thrown[0].GetType(), $"{thrown[0]}");
        Assert.All(says, text => Assert.Contains(text, thrown[0].Message, StringComparison.Ordinal));
        Assert.All(thrown, one => Assert.Equal((thrown[0].GetType(), thrown[0].Message), (one.GetType(), one.Message)));
        Assert.All(thrown, one => Assert.Equal(Errors.FromException(thrown[0]).Code, Errors.FromException(one).Code));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_debug/TestDebugMode.test_debug_mode_off", "test_debug/TestDebugMode.test_debug_mode_on")]
    public async Task TheMessageIsTheUsers_AndWhatLiesBelowIsInnerExceptions(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Trace(Paris);
        llm.Layers[0].Hidden[.., 10].Save();
        var thrown = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => t.RunAsync(Cancel));
        Assert.DoesNotContain("Ndif.", thrown.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", thrown.Message, StringComparison.Ordinal);
        Assert.IsType<NdifException>(thrown.InnerException);
        Assert.Contains("Ndif.", thrown.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AFailure_LeavesTheNextTraceAlone(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        foreach (string misuse in _all.Keys) await Assert.ThrowsAnyAsync<Exception>(() => _all[misuse].Do(llm));
        Assert.Equal(" Paris", Next(llm, await LogitsAsync(llm, Paris)));
    }

    [Theory, MemberData(nameof(InProcessModes))]
    public async Task SeveralInputsOfAUsersModule_AreRefused(ExecutionMode mode)
    {
        using TinyNet net = new();
        using Trace t = net.Model.Trace(Backend(mode));
        using (t.Invoke(net.Input)) net.Model.Output.Save();
        using (t.Invoke(net.Input)) net.Model.Output.Save();
        var refused = await Assert.ThrowsAsync<BadProgramException>(() => t.RunAsync(Cancel));
        Assert.Contains("Batching is not implemented for Sequential", refused.Message, StringComparison.Ordinal);
        Assert.Contains("Use one trace for each input.", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AJobId_HasLettersDigitsAndHyphens()
    {
        using Trace t = Model(ExecutionMode.Local).Trace(Paris);
        t.JobId = "run-7";
        foreach (string wrong in (string[])["", "a b", "../x", new string('a', 65), "é"])
            Assert.Throws<ArgumentException>(() => t.JobId = wrong);
        Assert.Equal("run-7", t.JobId);
    }

    [Fact]
    public async Task AnEditInPlace_WithAValueOfALaterLayer_SaysSo()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        List<string> warnings = [];
        using Trace t = llm.Trace();
        t.OnWarning = warnings.Add;
        Value hidden;
        using (t.Invoke(Paris)) hidden = llm.Layers[3].Hidden[.., ^1];
        using (t.Invoke(Rome))
        {
            llm.Layers[1].Hidden[.., ^1] = hidden;
            llm.Logits.Save();
        }
        await t.RunAsync(Cancel);
        Assert.Contains("It depends on `transformer.h.3.output`, which the model computes later", Assert.Single(warnings),
            StringComparison.Ordinal);
    }

    [Fact]
    public void AUsersModule_CannotRunOnAService()
    {
        using TinyNet net = new();
        using Trace t = net.Model.Trace(Ndif.Backend.Remote, net.Input);
        net.Model.Output.Save();
        Assert.Contains("Drop remote: true.", Assert.Throws<BadProgramException>(t.Run).Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_debug/TestLanguageModelErrors.test_tokenizer_not_provided_with_preloaded_model")]
    public async Task AModelWithoutATokenizer_TakesTokenIds_AndSaysSo(ExecutionMode mode)
    {
        var llm = new LanguageModel(ModelWithoutTokenizer, remote: Backend(mode));
        Assert.Contains("comes without a tokenizer.json.", Assert.Throws<CheckpointException>(() => llm.Tokenizer).Message,
            StringComparison.Ordinal);
        using Trace t = llm.Scan("Hello");
        llm.LmHead.Output.Shape.Save();
        Assert.Contains("Pass token ids instead of texts.",
            (await Assert.ThrowsAsync<CheckpointException>(() => t.RunAsync(Cancel))).Message, StringComparison.Ordinal);
        using Trace ids = llm.Scan(new[] { 1, 2, 3 });
        Saved shape = llm.LmHead.Output.Shape.Save();
        await ids.RunAsync(Cancel);
        Assert.Equal([1L, 3, 1422], Numbers(shape));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task AnInPlaceEdit_OfWhatTheModelHasUsed_IsWarnedOf(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        List<string> warnings = [];
        using Trace t = llm.Trace(Paris);
        t.OnWarning = warnings.Add;
        llm.Layers[1].Hidden[.., ^1] = 0;
        llm.Layers[1].Hidden.Clone().Mul_(2);
        llm.Layers[2].Hidden[..] = llm.LmHead.Output[.., .., ..128]; // C# reads the hidden state first
        await t.RunAsync(Cancel);
        Assert.Contains("The model has already used this value of `transformer.h.2.output`", Assert.Single(warnings),
            StringComparison.Ordinal);
    }
}
