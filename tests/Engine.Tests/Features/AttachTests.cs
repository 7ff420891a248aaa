using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Features;

/// <summary>Modules of the user that are attached to the tree of a model.</summary>
public sealed class AttachTests
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    private static readonly TensorData _encoderWeight = TensorData.Randn([128, 256], seed: 2) * 0.1f,
        _decoderWeight = TensorData.Randn([256, 128], seed: 3) * 0.1f;

    private sealed class SparseAutoencoder(Value encoder, Value decoder) : ModuleDefinition
    {
        private readonly Layer _encoder = Linear("encoder", encoder), _relu = Step("relu", x => x.Relu()),
            _decoder = Linear("decoder", decoder);

        protected override Value Forward(Value input) => _decoder.Call(_relu.Call(_encoder.Call(input)));
    }

    private sealed class Two(ModuleDefinition inner) : ModuleDefinition
    {
        private readonly Layer _first = Part("first", inner), _second = LayerNorm("norm", TensorData.Ones([128]));

        protected override Value Forward(Value input) => _second.Call(_first.Call(input)) + _first.Call(input) * 0;
    }

    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(All))]
    public async Task AnAttachedModule_IsCalled_AndItsLayersAreRead(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(_encoderWeight, _decoderWeight));
        using Trace t = llm.Trace(Prompt);
        Saved input = llm.Layers[2].Hidden.Clone().Save();
        llm.Layers[2].Hidden = sae.Call(llm.Layers[2].Hidden);
        Saved features = sae["relu"].Output.Save(), encoded = sae["encoder"].Output.Save(), seen = sae["encoder"].Input.Save(),
            output = sae.Output.Save(), hidden = llm.Layers[2].Hidden.Save();
        Saved by = (input.Save("again").MatMul(_encoderWeight).Relu().MatMul(_decoderWeight)).Save();
        await t.RunAsync(Cancellation);
        Assert.Equal([1, 8, 256], features.Tensor.Shape.ToArray());
        Assert.All(features.ToArray<float>(), x => Assert.True(x >= 0));
        Assert.Contains(encoded.ToArray<float>(), x => x < 0);
        Assert.True(seen.Tensor.SameAs(input));
        TensorAssert.Same(by, output);
        TensorAssert.Same(output, hidden);
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnEditThatCallsIt_LetsEveryTraceReadAndChangeItsSites(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(_encoderWeight, _decoderWeight));
        LanguageModel edited = llm.Edit(() => llm.Layers[2].Hidden = sae.Call(llm.Layers[2].Hidden));
        Saved before, hidden, zero, one;
        using (Trace t = edited.Trace())
        {
            using (t.Invoke("Big Ben is in"))
            {
                before = edited["transformer.h.2.sae.relu"].Output.Clone().Save();
                edited["transformer.h.2.sae.relu"].Output[.., .., ..200] = 0;
                zero = edited["transformer.h.2.sae.decoder"].Input.Save();
                edited["transformer.h.2.sae"].Output = edited["transformer.h.2.sae"].Output * 0 + 3;
                hidden = edited.Layers[2].Hidden.Save();
            }
            using (t.Invoke(Prompt)) one = edited.Layers[2]["sae"]["relu"].Output.Save();
            await t.RunAsync(Cancellation);
        }
        Assert.Contains(before.ToArray<float>(), x => x != 0);
        Assert.All(((Saved)zero[.., .., ..200]).ToArray<float>(), x => Assert.Equal(0, x));
        TensorAssert.Same((Saved)before[.., .., 200..], (Saved)zero[.., .., 200..]);
        Assert.All(hidden.ToArray<float>(), x => Assert.Equal(3, x));
        Assert.Equal(8, one.Tensor.Shape[1]);

        using Trace alone = edited.Trace(Prompt);
        Saved again = sae["relu"].Output.Save();
        await alone.RunAsync(Cancellation);
        TensorAssert.Equal(one, again, 1e-5);
    }

    [Theory, MemberData(nameof(All))]
    public async Task EveryStepOfAGeneration_CountsItsCalls(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(_encoderWeight, _decoderWeight));
        using Trace t = llm.Generate(Prompt, maxNewTokens: 3);
        List<Saved> features = [];
        foreach (int _ in t.Iter[..])
        {
            llm.Layers[2].Hidden += 0.01 * sae.Call(llm.Layers[2].Hidden);
            features.Add(sae["relu"].Output.Save());
        }
        await t.RunAsync(Cancellation);
        Assert.Equal([8, 1, 1], features.Select(f => f.Tensor.Shape[1]));
    }

    [Theory, MemberData(nameof(All))]
    public async Task ItsWeights_AreTrained_WhereTheyAreParameters(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Session s = llm.Session();
        Value encoder = s.Parameter(_encoderWeight), decoder = s.Parameter(_decoderWeight);
        Envoy sae = llm.Layers[2].Attach("trained", new SparseAutoencoder(encoder, decoder));
        Optimizer adam = s.Adam([encoder, decoder], lr: 5e-3);
        ValueList losses = s.List();
        s.ForEach(Enumerable.Range(0, 15), _ =>
        {
            using Trace t = llm.Trace(Prompt, grad: true);
            Value x = llm.Layers[2].Hidden;
            Value loss = Op.MseLoss(sae.Call(x), x) + 1e-4 * sae["relu"].Output.Abs().Mean();
            losses.Append(loss.Detach());
            t.Backward(loss);
            adam.Step();
            adam.ZeroGrad();
        });
        Saved curve = losses.Save(), trained = encoder.Save();
        await s.RunAsync(Cancellation);
        Assert.True(((Saved)curve[^1]).Item<float>() < 0.7 * ((Saved)curve[0]).Item<float>(), curve.ToString());
        TensorAssert.NotEqual(_encoderWeight, trained);
    }

    [Theory, MemberData(nameof(All))]
    public async Task Parts_AreModulesOfTheirOwn_AndTheTreeShowsThem(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy two = llm.Layers[1].Attach("two", new Two(new SparseAutoencoder(_encoderWeight, _decoderWeight)));
        Assert.Contains("""
              (two): Two(
                (first): SparseAutoencoder(
                  (encoder): Linear(in_features=128, out_features=256, bias=False)
                  (relu): Step()
                  (decoder): Linear(in_features=256, out_features=128, bias=False)
                )
                (norm): LayerNorm((128,))
              )
            """.ReplaceLineEndings("\n"), llm.Layers[1].ToString(), StringComparison.Ordinal);
        using Trace t = llm.Trace(Prompt);
        Saved output = two.Call(llm.Layers[1].Hidden).Save(), second = two["first.relu"].Output.Save(),
            direct = two["norm"].Call(llm.Layers[1].Hidden).Save();
        await t.RunAsync(Cancellation);
        Assert.Equal(0, output.ToArray<float>().Average(), 1e-4);
        Assert.Equal(256, second.Tensor.Shape[2]);
        Assert.Equal(0, direct.ToArray<float>().Average(), 1e-4);
    }

    [Theory, MemberData(nameof(All))]
    public async Task Misuses_AreErrors_AndLeaveNothing(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        Envoy sae = llm.Layers[2].Attach("sae", new SparseAutoencoder(_encoderWeight, _decoderWeight));
        Assert.Throws<InvalidOperationException>(() => llm.Layers[2].Attach("mlp", new SparseAutoencoder(_encoderWeight, _decoderWeight)));
        Assert.Throws<InvalidOperationException>(() => llm.Layers.Attach("sae", new SparseAutoencoder(_encoderWeight, _decoderWeight)));
        Assert.Throws<ArgumentException>(() => llm.Layers[2].Attach("a.b", new SparseAutoencoder(_encoderWeight, _decoderWeight)));
        await Fails<OutOfOrderException>(() => { sae.Call(llm.Layers[2].Hidden); sae["relu"].Output[..] = 0; sae["relu"].Output = 0;
        }, "called the module itself");
        await Fails<MissedValueException>(() => sae["relu"].Output.Save(), "was not provided");
        await Fails<Exception>(() => sae.Call(llm.Layers[2].Hidden[.., .., ..5]).Save(), "shapes");
        await Fails<Exception>(() => sae.Skip(1), "transformer.h.2.sae");
        long before = torch.Tensor.TotalCount;
        await Fails<OutOfOrderException>(() => { sae.Call(llm.Layers[2].Hidden); sae["encoder"].Output.Save(); llm.Layers[0].Output.Save();
        }, "run past it");
        Assert.InRange(torch.Tensor.TotalCount, 0, before);

        async Task Fails<T>(Action record, string says) where T : Exception
        {
            using Trace t = llm.Trace(Prompt);
            record();
            Exception e = await Assert.ThrowsAnyAsync<Exception>(() => t.RunAsync(Cancellation));
            Assert.True(e is T, e.ToString());
            Assert.Contains(says, e.Message, StringComparison.Ordinal);
            Assert.Contains("AttachTests.cs", e.Message, StringComparison.Ordinal);
        }
    }
}
