using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Running;

/// <summary>The memory of graphs is counted while they live, however they are made and end.</summary>
public sealed class AutogradMemoryTests : IDisposable
{
    private static readonly int[] _prompt = [1, 2, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void RandomGraphs_LeaveNothing()
    {
        var codes = new SortedDictionary<string, int>();
        for (int seed = 0; seed < 150; seed++)
        {
            var random = new Random(seed);
            using Session session = _fixture.Model.Session();
            ValueList list = session.List();
            Variable variable = session.Variable(0.0);
            if (random.Next(2) == 0) list.Save("list");
            int traces = random.Next(1, 4);
            for (int i = 0; i < traces; i++)
                using (Trace trace = _fixture.Model.Trace(_prompt, grad: true)) Record(trace, list, variable, random);
            variable.Value.Save("last");
            long most = random.Next(3) == 0 ? 100_000 : 1 << 30;
            using var job = new JobRun(
                Compiler.Compile(session.ToProgram(), _fixture.HookedModel), new JobOutcome(), maxValueBytes: most);
            ProgramEngine.Run(_fixture.HookedModel, [job]);
            string code = job.Error?.Code.ToString() ?? "Completed";
            codes[code] = codes.GetValueOrDefault(code) + 1;
            job.Dispose();
            Assert.True(job.Slots.HeldBytes == 0, $"seed {seed}: {job.Slots.HeldBytes} bytes are left; {code}");
        }
        Assert.True(codes["Completed"] > 50 && codes.ContainsKey(nameof(ErrorCode.OutOfMemory)), string.Join(", ", codes));
    }

    private void Record(Trace trace, ValueList list, Variable variable, Random random)
    {
        Value hidden = _fixture.Model.Layers[0].Hidden.RequiresGrad(); // [1, 3, 16]
        List<Value> values = [hidden, Op.Ones(new long[] { 1, 3, 16 }).RequiresGrad()];
        Value Pick() => values[random.Next(values.Count)];
        int count = random.Next(3, 25);
        for (int i = 0; i < count; i++)
        {
            switch (random.Next(12))
            {
                case 0: values.Add(Op.Ones(new long[] { 1, 3, 16 }).RequiresGrad()); break;
                case 1: values.Add(Pick().Exp()); break;
                case 2: values.Add(Pick() * Pick()); break;
                case 3: values.Add(Pick()[.., ..2].Sum() + Pick()); break;
                case 4: values.Add(Pick().Unsqueeze(0).Squeeze(0)); break;
                case 5: values.Add(Pick().Detach()); break;
                case 6:
                    Value edited = Pick() * 1;
                    edited[0, 0] = Pick()[0, 1];
                    values.Add(edited);
                    break;
                case 7: list.Append(Pick()); break;
                case 8: variable.Set(Pick().Sum()); break;
                case 9: values.Add(variable.Value * Pick()); break;
                case 10: trace.ForEach(Op.Arange(3), number => list.Append(Pick() * number)); break;
                default: list.Append(Pick()[..0]); break;
            }
        }
        if (random.Next(2) == 0) _fixture.Model.Layers[1].Hidden = Pick() * 1;
        if (random.Next(2) == 0) trace.Backward(values[0].Sum() + values[1].Sum());
    }
}
