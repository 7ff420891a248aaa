using Ndif.Protocol;

namespace Ndif.Engine.Tests.Support;

/// <summary>Compares the results of two runs of the same program.</summary>
internal static class OutcomeAssert
{
    /// <summary>Asserts equal errors, names, log lines and values; float32 values may differ by the tolerance.</summary>
    /// <param name="job">Names the run in a failure.</param>
    public static void Same(JobOutcome expected, JobOutcome actual, string job, double tolerance = 1e-5)
    {
        Assert.True(expected.Error?.Code == actual.Error?.Code, $"{job}: {expected.Error} alone, {actual.Error} batched");
        Assert.Equal(expected.Names.Order(), actual.Names.Order());
        Assert.Equal(expected.Logs, actual.Logs);
        foreach (string name in expected.Names) Same(expected[name], actual[name], $"{job}, {name}", tolerance);
    }

    private static void Same(Data expected, Data actual, string value, double tolerance)
    {
        Assert.True(expected.ValueCase == actual.ValueCase, value);
        switch (expected.ValueCase)
        {
            case Data.ValueOneofCase.Tensor:
                TensorData left = TensorData.FromProto(expected.Tensor), right = TensorData.FromProto(actual.Tensor);
                Assert.True(left.Shape.SequenceEqual(right.Shape), $"{value}: {left} alone, {right} batched");
                double difference = left.Type is DType.Float32 ? TensorAssert.Difference(left, right)
                    : left.Bytes.Span.SequenceEqual(right.Bytes.Span) ? 0 : double.NaN;
                Assert.True(difference <= tolerance, $"{value} differs by {difference}");
                break;
            case Data.ValueOneofCase.List:
                Assert.True(expected.List.Items.Count == actual.List.Items.Count,
                    $"{value}: {expected.List.Items.Count} items alone, {actual.List.Items.Count} batched");
                for (int i = 0; i < expected.List.Items.Count; i++)
                    Same(expected.List.Items[i], actual.List.Items[i], $"{value}[{i}]", tolerance);
                break;
            case Data.ValueOneofCase.Map:
                foreach (var (key, item) in expected.Map.Entries.Zip(actual.Map.Entries))
                {
                    Assert.Equal(key.Key, item.Key);
                    Same(key.Value, item.Value, $"{value}.{key.Key}", tolerance);
                }
                break;
        }
    }
}
