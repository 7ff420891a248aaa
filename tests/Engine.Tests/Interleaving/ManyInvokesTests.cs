using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Interleaving;

public sealed class ManyInvokesTests(ITestOutputHelper output)
{
    private static readonly int[] _prompt = [3, 1];

    [Fact]
    public void FourTimesTheInvokes_TakeNotMuchMoreThanFourTimesTheTime()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        Program Record(int invokes) => fixture.Record(null, t =>
        {
            for (int i = 0; i < invokes; i++)
            {
                using (t.Invoke(_prompt))
                {
                    fixture.Model.Layers[0].Hidden[.., 0] = i;
                    fixture.Model.Logits[.., ^1].Save($"{i}");
                }
            }
        });
        Program few = Record(200), many = Record(800);
        Time(few);
        double ratio = Time(many) / Time(few);
        output.WriteLine($"{ratio:0.0} times");
        Assert.InRange(ratio, 0, 9); // 16 if it were quadratic

        double Time(Program program) => Enumerable.Range(0, 3).Min(_ =>
        {
            TimeSpan start = Environment.CpuUsage.TotalTime; // processor time, because other processes may slow this one down
            fixture.Run(program)[0].AssertCompleted();
            return (Environment.CpuUsage.TotalTime - start).TotalMilliseconds;
        });
    }
}
