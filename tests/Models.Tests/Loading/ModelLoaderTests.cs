using Ndif.Models.Files;
using Ndif.Models.Loading;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Tests.Loading;

public sealed class ModelLoaderTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void LoadAndForward_LeaveNoTensorBehind()
    {
        TinyModel.Write(_folder, TinyModel.Llama());
        FreeTensorsOfEarlierTests();
        long before = Tensor.TotalCount;
        using (LoadedModel model = TinyModel.Load(_folder.Path))
        {
            long loaded = Tensor.TotalCount;
            using (NewDisposeScope())
            using (no_grad())
            using (KeyValueCache cache = model.NewCache())
                TinyModel.Logits(model, TinyModel.Ids(2, 5, 1), null, cache);
            Assert.Equal(loaded, Tensor.TotalCount);
            Assert.Equal(1, FileMapping.LiveCount(_folder.Path));
        }
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        Assert.Equal(0, FileMapping.LiveCount(_folder.Path));
    }

    /// <summary>Lets the finalizer free what earlier tests have left, so that it does not change the count meanwhile.</summary>
    private static void FreeTensorsOfEarlierTests()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    [Fact]
    public void Activations_AreFreed_AsTheForwardGoes()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(layers: 12));
        using LoadedModel model = TinyModel.Load(_folder.Path);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor ids = TinyModel.Ids(1, 3, 1);
        FreeTensorsOfEarlierTests();
        long before = Tensor.TotalCount, most = 0;
        Counting counting = new(() => most = Math.Max(most, Tensor.TotalCount - before));
        var observers = new SiteHook?[model.Modules.Count];
        observers[model.Module("transformer.h.11.mlp.act")!.Index] = counting;
        using (SiteHook.Register(observers)) TinyModel.Logits(model, ids);
        Assert.InRange(most, 1, 60); // one block's tensors and one result of each earlier block, not 12 blocks' tensors
    }

    [Fact]
    public void Describe_NeedsNoWeights()
    {
        _folder.Write("config.json", TinyModel.GPT2(more: """, "torch_dtype": "bfloat16" """));
        ModelDescription description = ModelLoader.Describe(_folder.Path);
        Assert.Equal(("GPT2LMHeadModel", DataType.Bfloat16, 48u, 40u),
            (description.Architecture, description.Dtype, description.ContextLength, description.Vocabulary));
        Assert.Equal("transformer.h", description.Names.Layers);
        Assert.Equal(["config.json"], description.Files.Keys);
        Assert.Equal(description.Parameters * 2, description.Bytes);
    }

    [Fact]
    public void BundledModel_PrintsAsPyTorchPrintsIt()
    {
        string printed = ModulePrinter.Print(ModelLoader.Describe(ModelStore.TinyLandmarks).Root);
        Assert.Equal("""
            GPT2LMHeadModel(
              (transformer): GPT2Model(
                (wte): Embedding(1422, 128)
                (wpe): Embedding(128, 128)
                (drop): Dropout(p=0.0, inplace=False)
                (h): ModuleList(
                  (0-3): 4 x GPT2Block(
                    (ln_1): LayerNorm((128,), eps=1e-05, elementwise_affine=True, bias=True)
                    (attn): GPT2Attention(
                      (c_attn): Conv1D(nf=384, nx=128)
                      (c_proj): Conv1D(nf=128, nx=128)
                      (attn_dropout): Dropout(p=0.0, inplace=False)
                      (resid_dropout): Dropout(p=0.0, inplace=False)
                    )
                    (ln_2): LayerNorm((128,), eps=1e-05, elementwise_affine=True, bias=True)
                    (mlp): GPT2MLP(
                      (c_fc): Conv1D(nf=512, nx=128)
                      (c_proj): Conv1D(nf=128, nx=512)
                      (act): NewGELUActivation()
                      (dropout): Dropout(p=0.0, inplace=False)
                    )
                  )
                )
                (ln_f): LayerNorm((128,), eps=1e-05, elementwise_affine=True, bias=True)
              )
              (lm_head): Linear(in_features=128, out_features=1422, bias=False)
            )
            """.ReplaceLineEndings("\n"), printed);
    }

    [Theory]
    [InlineData("transformer.")]
    [InlineData("")]
    public void Names_MayLackTheBaseModels_AndOldBuffersArePassedOver(string prefix)
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights =>
        {
            foreach (string name in weights.Keys.ToArray())
                if (weights.Remove(name, out Tensor? tensor))
                    weights[name.Replace("transformer.", prefix, StringComparison.Ordinal)] = tensor;
            weights[$"{prefix}h.0.attn.bias"] = ones(1, 1, 48, 48);
            weights[$"{prefix}h.0.attn.masked_bias"] = tensor(-1e4f);
        });
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Assert.All(model.Modules.SelectMany(m => m.Parameters), p => Assert.True(p.IsLoaded));
    }

    [Theory, MemberData(nameof(Models))]
    public void ComputedBuffersOfOldCheckpoints_AreIgnored_InEveryArchitecture(string name)
    {
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2), change: weights =>
        {
            string[] buffers = ["rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", "embed_positions", "masked_bias"];
            foreach (string buffer in buffers) weights[$"model.layers.0.self_attn.{buffer}"] = ones(4);
        });
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Assert.All(model.Modules.SelectMany(m => m.Parameters), p => Assert.True(p.IsLoaded));
    }

    /// <summary>Published checkpoints have the projections of layers that attend to the keys of earlier ones.</summary>
    [Theory]
    [InlineData("gemma3n", "model.layers")]
    [InlineData("Gemma3n with images", "model.language_model.layers")]
    [InlineData("gemma4", "model.layers")]
    [InlineData("Gemma4 with images", "model.language_model.layers")]
    public void KeysOfLayersThatShareThem_AreIgnored(string name, string layers)
    {
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2), change: weights =>
        {
            foreach (int layer in (int[])[2, 3])
                foreach (string tensor in (string[])["k_proj", "v_proj", "k_norm"])
                    weights[$"{layers}.{layer}.self_attn.{tensor}.weight"] = ones(4);
        });
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Assert.All(model.Modules.SelectMany(m => m.Parameters), p => Assert.True(p.IsLoaded));
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2), change: weights => weights[$"{layers}.4.self_attn.k_proj.weight"] = ones(4));
        Assert.Throws<CheckpointException>(() => TinyModel.Load(_folder.Path));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ATiedHead_WithAnotherWeightInTheCheckpoint_IsNotTied(bool differs)
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights =>
        {
            Tensor table = weights["transformer.wte.weight"];
            weights["lm_head.weight"] = differs ? table + 1 : table.clone();
        });
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Parameter embedding = model.Module("transformer.wte")!.Parameters[0], head = model.Module("lm_head")!.Parameters[0];
        Assert.Equal(differs, !ReferenceEquals(embedding, head));
        Assert.Equal(differs ? 1 : 0, (head.Value - embedding.Value).mean().item<float>(), 1e-4f);
        Assert.Equal(differs ? 1 : 0, model.Warnings.Count);
    }

    [Fact]
    public void TiedHead_IsTheEmbedding_WhicheverNameItHas()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: weights =>
        {
            weights.Remove("transformer.wte.weight", out Tensor? table);
            weights["lm_head.weight"] = table!;
        });
        using LoadedModel model = TinyModel.Load(_folder.Path);
        Assert.Same(model.Module("transformer.wte")!.Parameters[0], model.Module("lm_head")!.Parameters[0]);
    }

    [Fact]
    public void MissingTensor_IsNamed()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: w => w.Remove("transformer.h.1.mlp.c_fc.bias"));
        Assert.Contains("has no `transformer.h.1.mlp.c_fc.bias`", Refused().Message, StringComparison.Ordinal);
    }

    [Fact]
    public void UnexpectedTensor_IsNamed()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: w => w["transformer.h.7.ln_1.weight"] = ones(16));
        Assert.Contains("`transformer.h.7.ln_1.weight`, which GPT2LMHeadModel has no place for", Refused().Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void MisshapenTensor_IsNamed_WithBothShapes()
    {
        TinyModel.Write(_folder, TinyModel.GPT2(), change: w => w["transformer.wpe.weight"] = ones(47, 16));
        Assert.Contains("`transformer.wpe.weight` with shape [47, 16]; config.json asks for [48, 16]", Refused().Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void UnknownArchitecture_SaysWhereTheKnownOnesAre()
    {
        _folder.Write("config.json", """{ "architectures": ["GPT3LMHeadModel"], "model_type": "gpt3" }""");
        CheckpointException error = Refused();
        Assert.Equal(ErrorCode.UnsupportedArchitecture, error.Code);
        Assert.Contains("GPT3LMHeadModel, which is not supported", error.Message, StringComparison.Ordinal);
        Assert.Contains("docs/reference/models.md", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ImpossibleConfig_NamesTheKey()
    {
        _folder.Write("config.json", TinyModel.GPT2(heads: 3));
        Assert.Contains("`n_embd` must be a multiple of n_head, 3", Refused().Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ElementType_IsTheCheckpoints_OrTheOneAskedFor()
    {
        TinyModel.Write(_folder, TinyModel.Llama(), change: weights =>
        {
            foreach (string name in weights.Keys.ToArray()) weights[name] = weights[name].to(ScalarType.BFloat16);
        });
        using (LoadedModel native = TinyModel.Load(_folder.Path))
        {
            Assert.Equal(ScalarType.BFloat16, native.DType);
            Assert.Equal(DataType.Bfloat16, native.Description.Dtype);
            using var scope = NewDisposeScope();
            Assert.Equal(ScalarType.BFloat16, TinyModel.Logits(native, TinyModel.Ids(1, 3, 1)).dtype);
        }
        using LoadedModel wide = TinyModel.Load(_folder.Path, ScalarType.Float32);
        Assert.All(wide.Modules.SelectMany(m => m.Parameters), p => Assert.Equal(ScalarType.Float32, p.Value.dtype));
    }

    public static TheoryData<string> Models => [.. TinyConfigs.Names];

    [Theory]
    [MemberData(nameof(Models))]
    public void Shapes_AreKnown_WithoutWeights(string name)
    {
        using var scope = NewDisposeScope();
        TinyModel.Write(_folder, TinyConfigs.Of(name, 2));
        ModelFolder folder = ModelStore.Find(_folder.Path);
        using LoadedModel real = TinyModel.Load(_folder.Path), model = ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder));
        Tensor ids = zeros([2, 5], ScalarType.Int64);
        Assert.Equal(TinyModel.Logits(real, ids).shape, TinyModel.Logits(model, ids.to(META)).shape);
    }

    [Fact]
    public void Progress_EndsWithAllBytes_AndACancelFreesWhatWasLoaded()
    {
        TinyModel.Write(_folder, TinyModel.GPT2());
        long before = Tensor.TotalCount;
        using CancellationTokenSource cancel = new();
        Reports reports = new((done, total) => { if (done > total / 2) cancel.Cancel(); });
        Assert.Throws<OperationCanceledException>(() => ModelLoader.Load(_folder.Path, progress: reports, cancellationToken: cancel.Token));
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        Reports all = new((_, _) => { });
        using LoadedModel model = ModelLoader.Load(_folder.Path, progress: all, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(((long)model.Description.Bytes, (long)model.Description.Bytes), all.Last);
    }

    private CheckpointException Refused()
    {
        long before = Tensor.TotalCount;
        CheckpointException error = Assert.Throws<CheckpointException>(() => TinyModel.Load(_folder.Path));
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        return error;
    }

    private sealed class Reports(Action<long, long> onReport) : IProgress<(string What, long Done, long Total)>
    {
        public (long Done, long Total) Last { get; private set; }

        public void Report((string What, long Done, long Total) value)
        {
            Last = (value.Done, value.Total);
            onReport(value.Done, value.Total);
        }
    }

    private sealed class Counting(Action count) : SiteHook
    {
        public override object? Call(SiteModule module, Arguments arguments)
        {
            count();
            return module.Run(arguments);
        }
    }
}
