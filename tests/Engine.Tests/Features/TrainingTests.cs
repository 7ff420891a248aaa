using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Features;

/// <summary>Parameters and optimizers in sessions. Training runs in the process that has the model.</summary>
public sealed class TrainingTests
{
    private const string Eiffel = "The Eiffel Tower is in the city of";

    private static readonly float[] _start = [1, -2, 3], _target = [0.5f, 0.25f, -1];

    private static readonly int[] _integers = [1, 2];

    public static TheoryData<string> All => Backends.All;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public static TheoryData<string, string> Optimizers
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string backend in new[] { "local", "loopback" })
                foreach (string kind in new[] { "sgd", "sgd momentum", "sgd nesterov", "adam", "adam decay", "adamw" })
                    cases.Add(backend, kind);
            return cases;
        }
    }

    /// <summary>Compared with the update rules of PyTorch's documentation, which are written out here.</summary>
    [Theory, MemberData(nameof(Optimizers))]
    public async Task AnOptimizer_MakesTheStepsOfItsFormula(string backend, string kind)
    {
        LanguageModel llm = Backends.Model(backend);
        using Session s = llm.Session();
        Value p = s.Parameter(_start);
        Optimizer optimizer = kind switch
        {
            "sgd" => s.SGD([p], lr: 0.1),
            "sgd momentum" => s.SGD([p], lr: 0.1, momentum: 0.9, dampening: 0.1, weightDecay: 0.01),
            "sgd nesterov" => s.SGD([p], lr: 0.1, momentum: 0.9, nesterov: true),
            "adam" => s.Adam([p], lr: 0.05),
            "adam decay" => s.Adam([p], lr: 0.05, beta1: 0.8, beta2: 0.9, eps: 1e-3, weightDecay: 0.1),
            _ => s.AdamW([p], lr: 0.05, weightDecay: 0.1),
        };
        s.ForEach(Enumerable.Range(0, 7), _ =>
        {
            s.Backward(((p - _target) * (p - _target)).Sum());
            optimizer.Step();
            optimizer.ZeroGrad();
        });
        Saved trained = p.Save();
        await s.RunAsync(Cancellation);
        float[] got = trained.ToArray<float>();
        for (int i = 0; i < got.Length; i++) Assert.Equal(Expected(kind, _start[i], _target[i]), got[i], 1e-5);
    }

    private static double Expected(string kind, double x, double target)
    {
        double buffer = 0, m = 0, v = 0;
        for (int step = 1; step <= 7; step++)
        {
            double g = 2 * (x - target);
            switch (kind)
            {
                case "sgd": x -= 0.1 * g; break;
                case "sgd momentum":
                    g += 0.01 * x;
                    buffer = step == 1 ? g : 0.9 * buffer + (1 - 0.1) * g;
                    x -= 0.1 * buffer;
                    break;
                case "sgd nesterov":
                    buffer = step == 1 ? g : 0.9 * buffer + g;
                    x -= 0.1 * (g + 0.9 * buffer);
                    break;
                default:
                    bool decayed = kind == "adam decay";
                    (double b1, double b2, double eps) = decayed ? (0.8, 0.9, 1e-3) : (0.9, 0.999, 1e-8);
                    if (decayed) g += 0.1 * x;
                    if (kind == "adamw") x *= 1 - 0.05 * 0.1;
                    m = b1 * m + (1 - b1) * g;
                    v = b2 * v + (1 - b2) * g * g;
                    x -= 0.05 * (m / (1 - Math.Pow(b1, step))) / (Math.Sqrt(v / (1 - Math.Pow(b2, step))) + eps);
                    break;
            }
        }
        return x;
    }

    [Theory, MemberData(nameof(All))]
    public async Task AnAdapter_IsTrained_UntilThePredictionChanges(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        int rome = llm.Tokenizer.Encode(" Rome")[0];
        using Session s = llm.Session();
        Value a = s.Parameter(TensorData.Randn([128, 4], seed: 1) * 0.02f), b = s.Parameter(TensorData.Zeros([4, 128]));
        Optimizer adam = s.AdamW([a, b], lr: 3e-2);
        ValueList losses = s.List();
        s.ForEach(Enumerable.Range(0, 20), _ =>
        {
            using Trace t = llm.Trace(Eiffel, grad: true);
            llm.Layers[2].Hidden += llm.Layers[2].Hidden.MatMul(a).MatMul(b);
            Value loss = Op.CrossEntropy(llm.LmHead.Output[0, ^1..], new[] { rome });
            losses.Append(loss.Detach());
            t.Backward(loss);
            adam.Step();
            adam.ZeroGrad();
        });
        Saved after;
        using (llm.Trace(Eiffel))
        {
            llm.Layers[2].Hidden += llm.Layers[2].Hidden.MatMul(a).MatMul(b);
            after = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
        }
        (Saved trained, Saved curve) = (b.Save(), losses.Save());
        await s.RunAsync(Cancellation);

        double[] values = [.. Enumerable.Range(0, 20).Select(i => ((Saved)curve[i]).Item<float>()).Select(x => (double)x)];
        Assert.True(values[^1] < values[0] / 10, string.Join(" ", values));
        Assert.Equal(rome, after.Item<long>());
        Assert.Contains(trained.ToArray<float>(), x => x != 0);
    }

    [Theory, MemberData(nameof(All))]
    public async Task ALoopOverData_TrainsAProbe_OnTextsAndLabels(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        (string, int)[] data = [("Paris is", 0), ("Rome is", 1), ("London is", 0), ("The Big Ben", 1)];
        using Session s = llm.Session();
        Value w = s.Parameter(TensorData.Zeros([128, 2]));
        Optimizer sgd = s.SGD([w], lr: 3);
        ValueList losses = s.List();
        s.ForEach(Enumerable.Range(0, 15), _ => s.ForEach(data.Select(d => (d.Item1, TensorData.FromArray([(long)d.Item2]))), item =>
        {
            using Trace t = llm.Trace(item[0], grad: true);
            Value x = llm.Layers[1].Hidden[.., ^1];
            Value loss = Op.CrossEntropy((x / x.Norm()).MatMul(w), item[1]);
            losses.Append(loss.Detach());
            t.Backward(loss);
            sgd.Step();
            sgd.ZeroGrad();
        }));
        Saved curve = losses.Save();
        await s.RunAsync(Cancellation);
        float[] all = [.. Enumerable.Range(0, 60).Select(i => ((Saved)curve[i]).Item<float>())];
        Assert.True(all[^4..].Average() < 0.5 * all[..4].Average(), string.Join(" ", all));
    }

    [Theory, MemberData(nameof(All))]
    public async Task GradientsOfAParameter_AddUp_AreEdited_AndCleared(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using Session s = llm.Session();
        Value p = s.Parameter(_start);
        Optimizer sgd = s.SGD([p], lr: 1);
        s.Backward(p.Sum());
        s.Backward((p * 2).Sum(), () => p.Grad *= 10);
        Saved sum = p.Grad.Save();
        p.Grad = p.Grad.Clamp(0, 5);
        p.Grad[0] = 7;
        sgd.Step();
        sgd.ZeroGrad();
        Saved stepped = p.Save(), cleared = p.Grad.Sum().Save();
        await s.RunAsync(Cancellation);
        Assert.Equal([21f, 21, 21], sum.ToArray<float>());
        Assert.Equal([1f - 7, -2 - 5, 3 - 5], stepped.ToArray<float>());
        Assert.Equal(0, cleared.Item<float>());
    }

    [Theory, MemberData(nameof(All))]
    public async Task BadOptimizers_AreRefused(string backend)
    {
        LanguageModel llm = Backends.Model(backend);
        using (Session s = llm.Session())
        {
            Value p = s.Parameter(_start);
            Assert.Contains("lr", Assert.ThrowsAny<Exception>(() => s.SGD([p], lr: -1)).Message, StringComparison.Ordinal);
            Assert.Contains("at least one", Assert.ThrowsAny<Exception>(() => s.Adam([])).Message, StringComparison.Ordinal);
            Assert.Contains("momentum", Assert.ThrowsAny<Exception>(() => s.SGD([p], nesterov: true)).Message, StringComparison.Ordinal);
            Assert.Throws<ArgumentException>(() => s.SGD([3.0]));
        }
        using (Session s = llm.Session())
        {
            s.SGD([s.Parameter(_start) * 2]);
            Exception e = await Assert.ThrowsAnyAsync<Exception>(() => s.RunAsync(Cancellation));
            Assert.Contains("trains parameters", e.Message, StringComparison.Ordinal);
            Assert.Contains("TrainingTests.cs", e.Message, StringComparison.Ordinal);
        }
        using (Session s = llm.Session())
        {
            s.Parameter(_integers);
            Exception e = await Assert.ThrowsAnyAsync<Exception>(() => s.RunAsync(Cancellation));
            Assert.Contains("floating-point", e.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Training_LeavesNoTensors()
    {
        LanguageModel llm = Backends.Model("local");
        await Train();
        long before = torch.Tensor.TotalCount;
        await Train();
        Assert.InRange(torch.Tensor.TotalCount, 0, before);

        async Task Train()
        {
            using Session s = llm.Session();
            Value a = s.Parameter(TensorData.Randn([128, 128], seed: 1) * 0.02f);
            Optimizer adam = s.AdamW([a]), sgd = s.SGD([a], momentum: 0.5);
            s.ForEach(Enumerable.Range(0, 3), step =>
            {
                using Trace t = llm.Trace(Eiffel, grad: true);
                llm.Layers[2].Hidden += llm.Layers[2].Hidden.MatMul(a);
                t.Backward(llm.Logits.Max());
                adam.Step();
                sgd.Step();
                adam.ZeroGrad();
                a.Grad.Norm().Save();
            });
            await s.RunAsync(Cancellation);
        }
    }
}
