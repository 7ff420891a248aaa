using System.Runtime.Intrinsics;
using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>Reads all weights of a model from memory once, on all cores: the minimum time of a pass.</summary>
internal sealed unsafe class WeightReader
{
    private readonly (nint Start, long Bytes)[] _weights;
    private double _sum;

    public WeightReader(LoadedModel model)
    {
        _weights = [.. model.Modules.SelectMany(m => m.Parameters).Distinct()
            .SelectMany(p => p.Blocks?.Tensors ?? [p.EightBit?.Values ?? p.Value]).Select(GetMemory)];
        Bytes = _weights.Sum(w => w.Bytes);
    }

    public long Bytes { get; }

    public void Run()
    {
        int cores = Environment.ProcessorCount;
        Parallel.For(0, cores, core =>
        {
            Vector512<float> sum = default;
            foreach (var (start, bytes) in _weights)
            {
                long each = bytes / cores / 256 * 256;
                float* from = (float*)(start + core * each), to = from + each / 4;
                for (; from < to; from += 64)
                {
                    sum += Vector512.Load(from) + Vector512.Load(from + 16) + (Vector512.Load(from + 32) + Vector512.Load(from + 48));
                }
            }
            lock (this) _sum += Vector512.Sum(sum);
        });
    }

    private static (nint, long) GetMemory(torch.Tensor tensor)
    {
        Span<byte> bytes = tensor.bytes;
        fixed (byte* start = bytes) return ((nint)start, bytes.Length);
    }
}
