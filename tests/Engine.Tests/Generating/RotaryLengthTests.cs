using Ndif.Models.Tests;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

/// <summary>Models whose rotary frequencies change with a row's length: a row that would outgrow its cached keys is refused before it runs.</summary>
public sealed class RotaryLengthTests
{
    private static readonly int[] s_five = [1, 2, 3, 4, 5], s_ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    private static Rig Long() => Rig.Of(TinyConfigs.Rope(2, """
        "rope_type": "longrope", "original_max_position_embeddings": 8, "short_factor": [1.0, 1.1, 1.3, 1.5], "long_factor": [1.0, 2.0, 3.0, 4.0]
        """));

    [Fact]
    public void ARowThatWouldOutgrowItsKeys_IsRefused_AndTheOtherRuns()
    {
        using Rig rig = Long();
        Program stays = rig.Record(s_five, 4, t => t.Result.Save("ids")), grows = rig.Record(s_five, 5, t => t.Result.Save("ids"));
        Outcome alone = rig.Run(stays)[0].Good();
        Outcome[] both = rig.Run(grows, stays);
        both[0].Bad(ErrorCode.Unsupported);
        Assert.Contains("at most 4 new tokens", both[0].Error!.Hint, StringComparison.Ordinal);
        Assert.Equal(alone.Tensor("ids").ToArray<long>(), both[1].Good().Tensor("ids").ToArray<long>());
    }

    [Fact]
    public void ALongPrompt_GoesOn() // its keys have the long frequencies from the start
    {
        using Rig rig = Long();
        long[] ids = rig.Run(s_ten, 5, t => t.Result.Save("ids")).Good().Tensor("ids").ToArray<long>();
        for (int length = 11; length < ids.Length; length++)
        {
            int[] before = [.. ids[..length].Select(id => (int)id)];
            TensorData logits = rig.Run(before, _ => rig.Model.Logits.Save("logits")).Good().Tensor("logits");
            Assert.Equal(ids[length], Near.Top(logits)[0]);
        }
    }
}
