using Ndif.Engine.Tests.Support;
using Ndif.Protocol;


namespace Ndif.Engine.Tests.Local;

/// <summary>A run in this process and a run of the serialized program give the same results.</summary>
public sealed class BackendTests : IDisposable
{
    private static readonly int[] _unknownTokens = [4_000], _prompt = [3, 1, 4];

    private readonly EngineFixture _fixture = EngineFixture.Llama();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string, ErrorCode> Failures() => new()
    {
        { "index", ErrorCode.IndexOutOfRange }, { "order", ErrorCode.OutOfOrder }, { "missed", ErrorCode.MissedValue },
            { "shape", ErrorCode.ShapeMismatch },
        { "forward", ErrorCode.OpFailed }, { "input", ErrorCode.BadInput }, { "replacement", ErrorCode.ShapeMismatch },
            { "call", ErrorCode.OpFailed },
    };

    private void Fail(string how)
    {
        switch (how)
        {
            case "index": _ = Model.Layers[0].Hidden[.., 99]; break;
            case "order": _ = Model.Logits; _ = Model.Embed.Output; break;
            case "missed": Model.Layers[1].Skip(Model.Layers[0].Hidden); _ = Model.Layers[1].Mlp.Output; break;
            case "shape": _ = Model.Layers[0].Hidden + TensorData.FromArray(new float[3]); break;
            case "forward": Model.Embed.Input = Model.Embed.Input + 4_000; break;
            case "replacement": Model.Layers[0].Hidden = TensorData.FromArray(new float[3]); break;
            case "call": Model.LmHead.Call(TensorData.FromArray(new float[3])); break;
        }
    }

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task Errors_AreTheSame(string how, ErrorCode code)
    {
        List<Exception> thrown = [];
        foreach (Backend backend in (Backend[])[Backend.Local, Backend.Loopback])
        {
            using Trace t = Model.Trace(how == "input" ? _unknownTokens : _prompt, backend);
            Saved first = Model.Inputs.Kwargs["input_ids"].Save();
            Fail(how);
            thrown.Add(await Assert.ThrowsAnyAsync<Exception>(() => t.RunAsync(Cancellation)));
            if (how != "input") Assert.Equal([3L, 1, 4], first.ToArray<long>());
        }
        Assert.Equal(thrown[0].GetType(), thrown[1].GetType());
        Assert.Equal(thrown[0].Message, thrown[1].Message);
        Assert.Equal(Errors.FromException(thrown[0]), Errors.FromException(thrown[1]));
        Assert.Equal(code, Errors.FromException(thrown[0]).Code);
        Assert.Contains("BackendTests.cs:", thrown[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheErrorShowsTheUsersLine_WithItsText()
    {
        using Trace t = Model.Trace(_prompt);
        Model.Layers[0].Hidden[.., 10] = 0;
        IndexOutOfRangeException thrown = await Assert.ThrowsAsync<IndexOutOfRangeException>(() => t.RunAsync(Cancellation));
        Assert.StartsWith("index 10 is out of bounds for dimension 1 with size 3", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("Model.Layers[0].Hidden[.., 10] = 0;", thrown.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(TheErrorShowsTheUsersLine_WithItsText), thrown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Results_AreTheSame()
    {
        List<(TensorData Logits, TensorData Ids)> results = [];
        foreach (Backend backend in (Backend[])[Backend.Local, Backend.Loopback])
        {
            using Trace t = Model.Generate(_prompt, 3, remote: backend);
            ValueList list = t.List();
            Saved all = list.Save();
            foreach (int _ in t.Iter[..]) list.Append(Model.Logits);
            Saved ids = t.Result.Save();
            await t.RunAsync(Cancellation);
            results.Add(((TensorData)((object?[])all.Result!)[2]!, ids.Tensor));
        }
        TensorAssert.Same(results[0].Logits, results[1].Logits);
        TensorAssert.Same(results[0].Ids, results[1].Ids);
    }

    [Fact]
    public async Task ACancelledRun_ThrowsThatItWasCancelled()
    {
        using CancellationTokenSource cancel = new();
        using Trace t = Model.Trace(_prompt);
        t.OnLog = _ => cancel.Cancel();
        t.Log(Model.Layers[0].Hidden.Shape);
        Saved logits = Model.Logits.Save();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => t.RunAsync(cancel.Token));
        Assert.False(logits.HasValue);
        using Trace never = Model.Trace(_prompt);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => never.RunAsync(cancel.Token));
    }

    [Fact]
    public async Task AModelThatIsNotThere_IsSaid_AndIsFoundWhenItComes()
    {
        string path = Path.Combine(_fixture.Path, "later");
        Directory.CreateDirectory(path);
        File.Copy(Path.Combine(_fixture.Path, "config.json"), Path.Combine(path, "config.json"));
        var model = new LanguageModel(path, remote: Backend.Local);
        foreach (bool there in (bool[])[false, true])
        {
            if (there) File.Copy(Path.Combine(_fixture.Path, "model.safetensors"), Path.Combine(path, "model.safetensors"));
            using Trace t = model.Trace(_prompt);
            Saved logits = model.Logits.Save();
            if (there) await t.RunAsync(Cancellation);
            else await Assert.ThrowsAnyAsync<NdifException>(() => t.RunAsync(Cancellation));
            Assert.Equal(there, logits.HasValue);
        }
    }
}
