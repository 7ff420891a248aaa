using Ndif.Tests.Support.Models;
using Ndif.Tests.Support.Service;

namespace Ndif.Language.Tests;

/// <summary>Experts as sites, and the routing in a cache, in every execution mode; nnsight does not reach them.</summary>
public sealed class ExpertTests(ExpertFixture fixture) : IClassFixture<ExpertFixture>
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5, 9, 2, 6], _other = [2, 7, 1];

    public static TheoryData<ExecutionMode> Modes => LanguageTests.Modes;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(Modes))]
    public async Task AnExpert_HasItsTokens_InputAndOutput(ExecutionMode mode)
    {
        LanguageModel llm = fixture.Model(mode);
        Envoy experts = llm.Layers[1].Mlp.Experts;
        Assert.Equal(4, experts.Count);
        Assert.Equal("model.layers.1.mlp.experts.3", experts[^1].Path);
        Saved all, tokens, input, output;
        using Trace t = llm.Trace();
        using (t.Invoke(_other)) llm.Logits.Save();
        using (t.Invoke(_prompt))
        {
            all = experts.Input.Save();
            tokens = experts[3].Tokens.Save();
            input = experts[3].Input.Save();
            output = experts[3].Output.Save();
        }
        await t.RunAsync(Cancel);
        long[] own = tokens.Tensor.ToArray<long>();
        Assert.NotEmpty(own);
        Assert.Equal([own.Length, 16], input.Tensor.Shape.ToArray());
        Assert.Equal([own.Length, 16], output.Tensor.Shape.ToArray());
        for (int i = 0; i < own.Length; i++) Assert.True(all.Tensor[(int)own[i]].SameAs(input.Tensor[i]));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task EditsAndSkips_OfAnExpert_ChangeItsTokensAlone(ExecutionMode mode)
    {
        LanguageModel llm = fixture.Model(mode);
        Envoy mlp = llm.Layers[1].Mlp, expert = mlp.Experts[3];
        Saved[] outputs = new Saved[3];
        Saved tokens;
        using Trace t = llm.Trace();
        using (t.Invoke(_prompt)) outputs[0] = mlp.Output.Save();
        using (t.Invoke(_prompt))
        {
            tokens = expert.Tokens.Save();
            expert.Output *= 3;
            outputs[1] = mlp.Output.Save();
        }
        using (t.Invoke(_prompt))
        {
            expert.Skip(expert.Input * 0);
            outputs[2] = mlp.Output.Save();
        }
        await t.RunAsync(Cancel);
        long[] own = tokens.Tensor.ToArray<long>();
        for (int token = 0; token < _prompt.Length; token++)
        {
            for (int edit = 1; edit < 3; edit++)
            {
                double difference = outputs[0].Tensor[0][token].MaxAbsDifference(outputs[edit].Tensor[0][token]);
                Assert.True(own.Contains(token) ? difference > 1e-4 : difference < 1e-5, $"{token}: {difference}");
            }
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task ACache_HasTheRouting_OfEachLayerAndStep(ExecutionMode mode)
    {
        LanguageModel llm = fixture.Model(mode);
        using (Trace t = llm.Trace(_prompt))
        {
            ActivationCache cache = t.Cache(output: false, routing: true);
            Saved gate = llm.Layers[0].Mlp["gate"].Output.Save();
            await t.RunAsync(Cancel);
            Assert.Equal([0, 1], cache.Routing.Keys);
            Assert.Equal([8, 2], cache.Routing[1].Indices.Tensor.Shape.ToArray());
            var parts = (object?[])gate.Result!; // logits, weights, chosen experts
            Assert.True(((TensorData)parts[1]!).SameAs(cache.Routing[0].Weights.Tensor));
            Assert.True(((TensorData)parts[2]!).SameAs(cache[llm.Layers[0].Mlp.Experts].Indices.Tensor));
            Assert.Throws<KeyNotFoundException>(() => cache.Routing[0].Output);
        }
        using (Trace t = llm.Generate(_prompt, maxNewTokens: 3))
        {
            ActivationCache cache = t.Cache([llm.Layers[0]], routing: true);
            await t.RunAsync(Cancel);
            Assert.Equal(3, cache.Routing[1].Count);
            Assert.Equal([1, 2], cache.Routing[1][2].Indices.Tensor.Shape.ToArray());
            Assert.Equal(3, cache[llm.Layers[0]].Count);
        }
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task TheRoutersChoice_CanBeReplaced(ExecutionMode mode)
    {
        LanguageModel llm = fixture.Model(mode);
        Envoy mlp = llm.Layers[1].Mlp;
        using Trace t = llm.Trace(_prompt);
        mlp["gate"].Output[2][.., 0] = 3; // the first choice of every token
        mlp["gate"].Output[2][.., 1] = 0;
        Saved first = mlp.Experts[0].Tokens.Save(), third = mlp.Experts[2].Tokens.Save(), last = mlp.Experts[3].Tokens.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(Enumerable.Range(0, 8).Select(token => (long)token), last.Tensor.ToArray<long>());
        Assert.Equal(8, first.Tensor.Shape[0]);
        Assert.Equal(0, third.Tensor.Shape[0]);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task MisusesAreTypedErrors(ExecutionMode mode)
    {
        LanguageModel llm = fixture.Model(mode);
        Envoy experts = llm.Layers[1].Mlp.Experts;
        Assert.Throws<IndexOutOfRangeException>(() => experts[4]);
        using Trace t = llm.Trace(_prompt);
        experts[1].Output.Save();
        experts["act_fn"].Output.Save();
        NdifException error = await Assert.ThrowsAnyAsync<NdifException>(() => t.RunAsync(Cancel));
        Assert.Contains("the experts run one by one", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheTree_ShowsTheExperts()
    {
        string tree = fixture.Model(ExecutionMode.Local).Layers[0].Mlp.ToString();
        Assert.Contains("(0-3): 4 x MixtralExpert()", tree, StringComparison.Ordinal);
        Assert.Contains("(act_fn): ", tree, StringComparison.Ordinal);
    }
}

/// <summary>A small Mixtral with random weights, in this process and behind a gateway.</summary>
public sealed class ExpertFixture : IAsyncLifetime
{
    private readonly TempFolder _folder = new();
    private LoopbackService? _service;

    internal LanguageModel Model(ExecutionMode mode) => new(_folder.Path, remote: mode switch
    {
        ExecutionMode.Local => Backend.Local,
        ExecutionMode.Loopback => Backend.Loopback,
        _ => Backend.At(_service!.Address.ToString(), _service.Key),
    });

    public async ValueTask InitializeAsync()
    {
        TinyModel.Write(_folder, TinyModel.LikeLlama("MixtralForCausalLM", kvHeads: 2, layers: 2), 3);
        _service = await LoopbackService.StartAsync(_folder.Path, TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        if (_service is not null) await _service.DisposeAsync();
        _folder.Dispose();
    }
}
