using Ndif.Models.Files;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests;

public sealed class SiteHookTests : IDisposable
{
    private readonly LoadedModel _model = TinyModel.Load(ModelStore.TinyLandmarks);

    public void Dispose() => _model.Dispose();

    [Fact]
    public void ABareTensor_StandsForABlocksTuple()
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = ones([1, 4], ScalarType.Int64);
        Tensor zeroed = LogitsWithReplacement("transformer.h.1", result => zeros_like((Tensor)((object?[])result!)[0]!), ids);
        Tensor tuple =
            LogitsWithReplacement("transformer.h.1", result => new object?[] { zeros_like((Tensor)((object?[])result!)[0]!) }, ids);
        Assert.True(zeroed.Equals(tuple));
        Assert.False(zeroed.Equals(TinyModel.Logits(_model, ids)));
    }

    [Fact]
    public void ARemarkableReplacement_IsAnErrorWithTheModulesName()
    {
        using var scope = NewDisposeScope();
        Tensor ids = ones([1, 4], ScalarType.Int64);
        NdifException error = Assert.ThrowsAny<NdifException>(() => LogitsWithReplacement("transformer.h.0.mlp", _ => "text", ids));
        Assert.Contains("`transformer.h.0.mlp` was replaced by String; it must be a tensor", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    public void EveryDeclaredAxis_IsTheOneThatGrowsWithRowsAndTokens(string architecture)
    {
        using TempFolder folder = new();
        TinyModel.Write(folder, architecture == "gpt2" ? TinyModel.GPT2() : TinyModel.Llama());
        using LoadedModel model = TinyModel.Load(folder.Path);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        using KeyValueCache cache = model.NewCache();
        TinyModel.Logits(model, TinyModel.Ids(3, 4, 1), null, cache);
        AxesRecorder recorder = new(batch: 3, seq: 5, kvSeq: 9);
        var everywhere = new SiteHook?[model.Modules.Count];
        Array.Fill(everywhere, recorder);
        using (SiteHook.Register(everywhere)) TinyModel.Logits(model, TinyModel.Ids(3, 5, 2), ones([3, 9], ScalarType.Int64), cache);
        Assert.True(recorder.Seen > 40);
    }

    private Tensor LogitsWithReplacement(string path, Func<object?, object?> change, Tensor ids)
    {
        var observers = new SiteHook?[_model.Modules.Count];
        observers[_model.Module(path)!.Index] = new ReplacingHook(change);
        using (SiteHook.Register(observers)) return TinyModel.Logits(_model, ids);
    }

    private sealed class ReplacingHook(Func<object?, object?> change) : SiteHook
    {
        public override object? Call(SiteModule module, Arguments arguments) => change(module.Run(arguments));
    }

    private sealed class AxesRecorder(long batch, long seq, long kvSeq) : SiteHook
    {
        public int Seen { get; private set; }

        public override object? Call(SiteModule module, Arguments arguments)
        {
            for (int i = 0; i < arguments.Positional.Length; i++) Check(module, arguments.Positional[i], module.InputAxes($"{i}"));
            foreach (var (key, value) in arguments.Keywords) Check(module, value, module.InputAxes(key));
            object? result = module.Run(arguments);
            if (result is ModelOutput output) Check(module, output.Entries[0].Value, module.OutputAxes(0));
            else if (result is object?[] tuple) for (int i = 0; i < tuple.Length; i++) Check(module, tuple[i], module.OutputAxes(i));
            else Check(module, result, module.OutputAxes(0));
            return result;
        }

        private void Check(SiteModule module, object? value, Axes axes)
        {
            if (value is not Tensor tensor) return;
            Seen++;
            Assert.True(tensor.size(axes.Batch) == batch, $"{module}: rows of [{string.Join(", ", tensor.shape)}]");
            if (axes.Seq != Axes.None)
                Assert.True(tensor.size(axes.Seq) == seq, $"{module}: tokens of [{string.Join(", ", tensor.shape)}]");
            if (axes.KvSeq != Axes.None)
                Assert.True(tensor.size(axes.KvSeq) == kvSeq, $"{module}: keys of [{string.Join(", ", tensor.shape)}]");
        }
    }
}
