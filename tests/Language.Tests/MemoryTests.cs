using System.Runtime.CompilerServices;
using Ndif.Engine;
using TorchSharp;

namespace Ndif.Language.Tests;

/// <summary>
/// nnsight's test_memory_cleanup.py. The base class counts the native tensors after every test; these tests check the other cases.
/// </summary>
public sealed class MemoryTests(ServiceFixture service) : LanguageTests(service)
{
    private static void AssertFreed(params WeakReference[] references)
    {
        for (int i = 0; i < 10 && references.Any(r => r.IsAlive); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.All(references, reference => Assert.False(reference.IsAlive));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] Use(LanguageModel llm, Action<Trace>? experiment = null)
    {
        using Trace t = llm.Trace(Paris);
        experiment?.Invoke(t);
        Value unsaved = llm.LmHead.Output * 2;
        Saved saved = unsaved.Save();
        t.Run();
        _ = saved.Tensor.Shape.Length;
        return [new(t), new(unsaved), new(saved), new(saved.Result)];
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_memory_cleanup/TestTracerCleanup.test_tracer_freed_after_trace",
        "test_memory_cleanup/TestTracerCleanup.test_tracer_no_reference_to_saved_tensors",
        "test_memory_cleanup/TestTracerCleanup.test_tracer_freed_with_modifications",
        "test_memory_cleanup/TestTracerCleanup.test_multiple_tracers_freed",
        "test_memory_cleanup/TestTracerCleanup.test_tracer_freed_after_early_stop",
        "test_memory_cleanup/TestSavedObjectCleanup.test_saved_tensor_freed_on_delete",
        "test_memory_cleanup/TestSavedObjectCleanup.test_multiple_saved_tensors_freed_independently",
        "test_memory_cleanup/TestUnsavedObjectCleanup.test_unsaved_intermediate_not_retained",
        "test_memory_cleanup/TestUnsavedObjectCleanup.test_unsaved_clones_not_retained")]
    public void ATrace_ItsValuesAndResults_AreFreed_WhenNobodyHoldsThem(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        WeakReference[] used =
            [.. Use(llm), .. Use(llm, _ => llm.Layers[1].Hidden[..] = 0), .. Use(llm, _ => llm.Layers[0].Hidden.Clone()), Stopped(llm)];
        llm.Forward("Hello"); // the stack of a waiting thread can still reference its last run
        AssertFreed(used);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Stopped(LanguageModel llm)
        {
            using Trace t = llm.Trace(Paris);
            llm.Layers[0].Hidden.Save();
            t.Stop();
            t.Run();
            return new WeakReference(t);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_memory_cleanup/TestUnsavedObjectCleanup.test_only_saved_objects_are_tensors",
        "test_memory_cleanup/TestSavedObjectCleanup.test_saved_tensor_in_list_freed")]
    public async Task OnlyWhatWasSaved_HasAValue_AndItIsTheClients(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        long before = torch.Tensor.TotalCount;
        using Trace t = llm.Trace(Paris);
        Value unsaved = llm.Layers[0].Hidden * 2;
        ValueList list = t.List();
        list.Append(unsaved);
        Saved saved = list.Save();
        await t.RunAsync(Cancel);
        Assert.IsNotType<Saved>(unsaved);
        Assert.Single(Tensors(saved));
        Assert.InRange(torch.Tensor.TotalCount, 0, before); // the result is managed memory, not a native tensor
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_memory_cleanup/TestTracerCleanup.test_nested_session_tracer_freed",
        "test_memory_cleanup/TestSessionCleanup.test_session_values_freed_after_session",
        "test_memory_cleanup/TestSessionCleanup.test_cross_trace_values_freed")]
    public void ASession_AndTheValuesThatFlowedInIt_AreFreed(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        long before = torch.Tensor.TotalCount;
        AssertFreed(Use(llm));
        Assert.InRange(torch.Tensor.TotalCount, 0, before);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference[] Use(LanguageModel llm)
        {
            using Session s = llm.Session();
            Value across;
            Trace first, second;
            using (first = llm.Trace(Paris)) across = llm.Layers[0].Hidden;
            using (second = llm.Trace(Paris)) llm.Layers[1].Hidden = across;
            s.Run();
            return [new(s), new(first), new(second), new(across)];
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_memory_cleanup/TestModelCleanup.test_multiple_traces_no_accumulation",
        "test_memory_cleanup/TestMemoryStress.test_many_traces_no_leak",
        "test_memory_cleanup/TestMemoryStress.test_large_tensor_freed", "test_vllm/TestBasicInference.test_request_cleanup")]
    public async Task FiftyTraces_LeaveAsManyTensorsAsOne(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        long before = torch.Tensor.TotalCount;
        for (int i = 0; i < 50; i++)
        {
            using Trace t = llm.Trace(Paris);
            Saved large = llm.LmHead.Output.Repeat(4, 1, 1).Save();
            await t.RunAsync(Cancel);
            Assert.Equal(4, large.Tensor.Shape[0]);
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
    }

    [Theory, MemberData(nameof(InProcessModes))]
    [PortedFrom("test_memory_cleanup/TestModelCleanup.test_model_freed_after_trace_and_delete",
        "test_memory_cleanup/TestModelCleanup.test_model_freed_without_trace",
        "test_memory_cleanup/TestModelCleanup.test_layer_freed_after_model_delete",
        "test_memory_cleanup/TestInterleaverCleanup.test_interleaver_freed_with_wrapper",
        "test_memory_cleanup/TestMemoryStress.test_repeated_wrapper_creation_no_leak")]
    public void AUsersModule_IsFreed_WithItsWrapper(ExecutionMode mode)
    {
        foreach (bool used in (bool[])[true, false]) AssertFreed(Wrap(used, Backend(mode)));

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference[] Wrap(bool used, Backend where)
        {
            List<WeakReference> references = [];
            for (int i = 0; i < 5; i++)
            {
                var module = new Scaled();
                var model = new NNsight(module);
                references.AddRange([new(module), new(model), new(module.Inner)]);
                if (!used) continue;
                using torch.Tensor input = torch.ones(1, 2);
                using Trace t = model.Trace(input, where);
                model["inner"].Output[..] = 0;
                model.Output.Save();
                t.Run();
            }
            return [.. references];
        }
    }

    private sealed class Scaled : torch.nn.Module<torch.Tensor, torch.Tensor>
    {
#pragma warning disable IDE1006 // TorchSharp registers a module under the name of its field
        private readonly torch.nn.Module<torch.Tensor, torch.Tensor> inner = torch.nn.ReLU();
#pragma warning restore IDE1006

        public Scaled() : base(nameof(Scaled)) => RegisterComponents();

        public object Inner => inner;

        public override torch.Tensor forward(torch.Tensor input) => inner.call(input) * 2;
    }
}
