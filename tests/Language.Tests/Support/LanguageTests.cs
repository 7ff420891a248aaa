using TorchSharp;

namespace Ndif.Language.Tests.Support;

/// <summary>The base class of tests that run in several execution modes. Asserts that no test leaves native tensors behind.</summary>
public abstract class LanguageTests(ServiceFixture service) : IAsyncLifetime
{
    protected const string Paris = "The Eiffel Tower is in the city of", Rome = "Vatican is in the city of",
        NewYork = "Madison Square Garden is located in the city of";

    private long _before;

    public static TheoryData<ExecutionMode> Modes => [ExecutionMode.Local, ExecutionMode.Loopback, ExecutionMode.Gateway];

    /// <summary>The execution modes of a module that exists only in this process.</summary>
    public static TheoryData<ExecutionMode> InProcessModes => [ExecutionMode.Local, ExecutionMode.Loopback];

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    protected ServiceFixture Service => service;

    protected Backend Backend(ExecutionMode mode) => service.BackendFor(mode);

    /// <summary>The bundled model, with the backend of an execution mode.</summary>
    protected LanguageModel Model(ExecutionMode mode, Dictionary<string, Aliases>? rename = null) =>
        new(ServiceFixture.Model, remote: Backend(mode), rename: rename);

    /// <summary>The folder of a model that has a config and nothing else.</summary>
    protected string ModelWithoutTokenizer => service.ModelWithoutTokenizer;

    /// <summary>The most likely next token. The logits are [batch, seq, vocab], [seq, vocab] or [vocab].</summary>
    protected static string Next(LanguageModel llm, TensorData logits)
    {
        while (logits.Shape.Length > 1) logits = logits[logits.Shape.Length == 3 ? 0 : ^1];
        return llm.Tokenizer.Decode(logits.ArgMax());
    }

    protected static Task<Saved> LogitsAsync(LanguageModel llm, object prompt) =>
        llm.TraceAsync(prompt, _ => llm.LmHead.Output.Save(), cancellationToken: Cancel);

    protected static void Near(TensorData expected, TensorData actual, double tolerance = 1e-4)
    {
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        Assert.InRange(expected.MaxAbsDifference(actual), 0, tolerance);
    }

    /// <summary>Asserts equal bytes.</summary>
    protected static void Same(TensorData expected, TensorData actual) =>
        Assert.True(expected.SameAs(actual), $"{expected}\nis not\n{actual}");

    protected static void Zero(TensorData tensor) => Assert.All(tensor.ToArray<float>(), x => Assert.Equal(0, x));

    protected static void NotZero(TensorData tensor) => Assert.Contains(tensor.ToArray<float>(), x => x != 0);

    protected static long[] Numbers(Saved saved) => [.. ((object?[])saved.Result!).Select(number => (long)number!)];

    protected static TensorData[] Tensors(Saved saved) => [.. ((object?[])saved.Result!).Select(tensor => (TensorData)tensor!)];

    public virtual ValueTask InitializeAsync()
    {
        _before = torch.Tensor.TotalCount;
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        // fewer if the finalizer has freed tensors of an earlier test
        Assert.InRange(torch.Tensor.TotalCount, 0, _before);
        return ValueTask.CompletedTask;
    }
}
