using System.Diagnostics;
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
        // the minimum of several rounds, because other processes can slow down a round
        double fewTime = double.MaxValue, manyTime = double.MaxValue;
        for (int round = 0; round < 10 && (round < 3 || manyTime / fewTime > 9); round++)
        {
            fewTime = Math.Min(fewTime, Time(few));
            manyTime = Math.Min(manyTime, Time(many));
        }
        output.WriteLine($"{manyTime / fewTime:0.0} times");
        Assert.InRange(manyTime / fewTime, 0, 9); // 16 if it were quadratic

        double Time(Program program)
        {
            long start = Stopwatch.GetTimestamp();
            fixture.Run(program)[0].AssertCompleted();
            return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
    }
}
