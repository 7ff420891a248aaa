using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// A layer's self-attention for when nobody watches inside. Between its stages nothing is a tensor.
/// <code>
/// 1. project      queries, keys and values of all tokens                             each core some of the outputs
/// 2. append       norm and rotate the keys; they and the values go to the cache      each core some of the heads;
/// 3. attend       norm and rotate the queries; scores, softmax, mixture              for a few tokens one stage with 2
/// 4. project      the mixture                                                        each core some of the outputs
/// </code>
/// </summary>
/// <remarks>
/// Rounds where the plain forward does (src/Models/Layers/EagerAttention.cs), so that a bfloat16 model's numbers are those of the plain
/// forward up to the order of sums.
/// </remarks>
internal sealed unsafe class FusedAttention(SiteModule module, int layer, int heads, int kvHeads, int headDim, double scale)
{
    /// <summary>Queries at a time: their scores against a thousand keys stay in the second cache.</summary>
    private const int QueryBlock = 64;

    /// <summary>Attention with fewer multiplications than this is not worth a second core.</summary>
    private const long MinParallelMultiplications = 1 << 14;

    /// <summary>Queries, keys and values: one matrix for each, or one for all.</summary>
    public required IReadOnlyList<ILinearLayer> Projections { get; init; }

    public required ILinearLayer OutputProjection { get; init; }

    /// <summary>Where a head's numbers stand in what the projections give for a token; by default all queries, all keys, all values.</summary>
    public QkvLayout Layout { get; init; } = QkvLayout.Separate(heads, kvHeads, headDim);

    /// <summary>Of each head's queries, before they are rotated.</summary>
    public INormLayer? QueryNorm { get; init; }

    /// <summary>Of each head's keys.</summary>
    public INormLayer? KeyNorm { get; init; }

    /// <summary>The norms are of all heads' numbers together, not of each head's.</summary>
    public bool NormalizesAllHeads { get; init; }

    /// <summary>Scores are bent to stay between -cap and cap, if given.</summary>
    public double? SoftCap { get; init; }

    /// <summary>Scores are computed in float32 whatever the dtype.</summary>
    public bool UpcastScores { get; init; }

    /// <summary>Queries are multiplied by this before anything else.</summary>
    public double QueryScale { get; init; } = 1;

    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores</param>
    /// <param name="positionEmbeddings">Cosines and sines, each [batch, seq, rotaryDim], or null to rotate nothing.</param>
    /// <returns>
    /// Output [batch, seq, hidden] and, where someone could see them, probabilities [batch, heads, seq, kvSeq]; null if the plain
    /// forward has to run.
    /// </returns>
    [FastPath]
    public object?[]? TryForward(Tensor hidden, KeyValueCache? cache, Tensor mask, object?[]? positionEmbeddings = null)
    {
        if (!LinearKernels.Supports(hidden) || hidden.dim() != 3 || headDim % 16 != 0 || headDim > 1024 || SiteHook.HasHooksInside(module)) return null;
        var pass = new Pass
        {
            DType = hidden.dtype, Batch = (int)hidden.size(0), Seq = (int)hidden.size(1), CachedLength = (int)(cache?.Length ?? 0),
            RoundToBFloat16 = hidden.dtype == ScalarType.BFloat16, QkvSize = (int)Layout.Size,
        };
        if (!IsSupported(hidden, mask, positionEmbeddings, ref pass)) return null;
        int count = pass.Batch * pass.Seq;
        if (count > LinearKernels.MaxRows(pass.DType)) return null;
        if (QueryNorm is not null && (pass.QueryNorm = QueryNorm.GetKernel(pass.DType)) is null) return null;
        if (KeyNorm is not null && (pass.KeyNorm = KeyNorm.GetKernel(pass.DType)) is null) return null;
        if (OutputProjection.View is not { } output || output.DType != pass.DType || output.InFeatures != heads * headDim) return null;

        if (!Project(hidden, count, ref pass)) return null;
        if (NormalizesAllHeads) NormalizeAllHeads(count, ref pass);
        pass.AttentionOutput = ScratchBuffer.GetFloats(4, (long)count * heads * headDim);
        if (cache is not null)
        {
            var (keys, values) = cache.Reserve(layer, pass.Batch, kvHeads, pass.Seq, headDim, pass.DType);
            if (keys.size(0) != pass.Batch || keys.size(1) != kvHeads || keys.size(3) != headDim || keys.dtype != pass.DType) throw new InvalidOperationException("The cache was filled by another model.");
            (pass.Keys, pass.Values, pass.Capacity) = (NativeTensor.DataPointer(keys.Handle), NativeTensor.DataPointer(values.Handle), (int)keys.size(2));
        }
        else
        {
            long size = (long)pass.Batch * kvHeads * pass.Seq * headDim; // as many numbers, of whichever type
            pass.Keys = (nint)ScratchBuffer.GetFloats(5, 2 * size);
            (pass.Values, pass.Capacity) = (pass.Keys + (nint)(size * sizeof(float)), pass.Seq);
        }
        Tensor? probabilities = HasProbabilityObserver() ? zeros([pass.Batch, heads, pass.Seq, pass.KvSeq], pass.DType) : null;
        if (probabilities is not null) pass.Probabilities = NativeTensor.DataPointer(probabilities.Handle);
        Attend(pass);

        Tensor result = empty([pass.Batch, pass.Seq, output.OutFeatures], pass.DType);
        LinearKernels.Multiply(output, pass.AttentionOutput, count, NativeTensor.DataPointer(result.Handle));
        FastPathCounter.Count++;
        return [result, probabilities];
    }

    private bool IsSupported(Tensor hidden, Tensor mask, object?[]? positionEmbeddings, ref Pass pass)
    {
        if (mask.dim() != 4 || mask.dtype != pass.DType || !mask.is_contiguous() || mask.size(0) != pass.Batch || mask.size(1) != 1 || mask.size(2) != pass.Seq) return false;
        pass.KvSeq = (int)mask.size(3);
        if (pass.KvSeq != pass.CachedLength + pass.Seq) return false;
        pass.Mask = NativeTensor.DataPointer(mask.Handle);
        if (positionEmbeddings is null) return true;
        if (positionEmbeddings is not [Tensor cosines, Tensor sines]) return false;
        pass.RotaryDim = (int)cosines.size(-1);
        foreach (Tensor part in (ReadOnlySpan<Tensor>)[cosines, sines])
            if (part.dim() != 3 || part.dtype != pass.DType || !part.is_contiguous() || part.size(0) != pass.Batch || part.size(1) != pass.Seq || part.size(2) != pass.RotaryDim) return false;
        if (pass.RotaryDim > headDim || pass.RotaryDim % 2 != 0) return false;
        (pass.Cosines, pass.Sines) = (NativeTensor.DataPointer(cosines.Handle), NativeTensor.DataPointer(sines.Handle));
        return true;
    }

    /// <summary>Someone watches this module or one it stands in, and may look at the second element of what it gives.</summary>
    private bool HasProbabilityObserver()
    {
        SiteModule? at = module;
        for (int i = 0; i < 3 && at is not null; i++, at = at.Parent)
            if (SiteHook.ForModule(at.Index) is not null) return true;
        return false;
    }

    /// <summary>Stage 1: all projections, one token's numbers beside each other.</summary>
    private bool Project(Tensor hidden, int count, ref Pass pass)
    {
        int total = pass.QkvSize, at = 0;
        var views = new WeightView[Projections.Count];
        var from = new int[views.Length + 1];
        for (int i = 0; i < views.Length; i++)
        {
            if (Projections[i].View is not { } view || view.DType != pass.DType || view.InFeatures != hidden.size(2)) return false;
            (views[i], from[i]) = (view, at);
            at += view.OutFeatures;
        }
        if (at != total) return false;
        float* together = ScratchBuffer.GetFloats(1, (long)count * total);
        pass.Qkv = together;
        bool round = pass.RoundToBFloat16;
        using Tensor x = hidden.contiguous();
        GemmInput rows = GemmInput.Create(x, views[0]);
        var parts = new int[views.Length];
        for (int i = 0; i < views.Length; i++) parts[i] = views[i].PartCount(count);
        KernelThreadPool.ParallelFor(parts.Sum(), part =>
        {
            int which = 0;
            while (part >= parts[which]) part -= parts[which++];
            var (first, last) = views[which].PartRange(part, parts[which]);
            float* y = together + from[which];
            views[which].Multiply(rows, y, total, first, last);
            if (round)
                for (int m = 0; m < count; m++) VectorMath.RoundToBFloat16(y + (long)m * total + first, last - first);
        }, views[0].Address);
        GC.KeepAlive(x);
        return true;
    }

    /// <summary>Norms the queries, and the keys, of a token as one row each; nothing is left to norm then.</summary>
    private void NormalizeAllHeads(int count, ref Pass pass)
    {
        float* together = pass.Qkv;
        NormKernel? queries = pass.QueryNorm, keys = pass.KeyNorm;
        int total = pass.QkvSize;
        for (int m = 0; m < count; m++)
        {
            float* q = together + (long)m * total, k = q + heads * headDim;
            queries?.Apply(q, q, heads * headDim);
            keys?.Apply(k, k, kvHeads * headDim);
        }
        (pass.QueryNorm, pass.KeyNorm) = (null, null);
    }

    /// <summary>Stages 2 and 3.</summary>
    private void Attend(Pass pass)
    {
        int each = heads / kvHeads, block = Math.Max(1, QueryBlock / each), all = pass.Batch * kvHeads;
        if (pass.Seq <= block)
        {
            bool alone = (long)pass.Batch * pass.Seq * pass.KvSeq * heads * headDim < MinParallelMultiplications;
            KernelThreadPool.ParallelFor(alone ? 1 : all, part =>
            {
                for (int i = part; i < (alone ? all : part + 1); i++)
                {
                    AppendToCache(pass, i / kvHeads, i % kvHeads);
                    Attend(pass, i / kvHeads, i % kvHeads, 0, pass.Seq);
                }
            });
            return;
        }
        int blocks = (pass.Seq + block - 1) / block;
        KernelThreadPool.ParallelFor(all, part => AppendToCache(pass, part / kvHeads, part % kvHeads));
        KernelThreadPool.ParallelFor(all * blocks, part =>
        {
            int at = part / blocks, first = part % blocks * block;
            Attend(pass, at / kvHeads, at % kvHeads, first, Math.Min(first + block, pass.Seq));
        });
    }

    /// <summary>Stage 2, for one head of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AppendToCache(Pass pass, int batchIndex, int kvHead)
    {
        float* key = stackalloc float[headDim];
        for (int token = 0; token < pass.Seq; token++)
        {
            float* projected = pass.Qkv + ((long)batchIndex * pass.Seq + token) * pass.QkvSize;
            new Span<float>(projected + Layout.KeyOffset(kvHead), headDim).CopyTo(new Span<float>(key, headDim));
            if (pass.KeyNorm is { } norm) norm.Apply(key, key, headDim);
            ApplyRotary(pass, key, batchIndex, token);
            long slot = ((long)(batchIndex * kvHeads + kvHead) * pass.Capacity + pass.CachedLength + token) * headDim;
            if (pass.RoundToBFloat16)
            {
                BFloat16.Narrow(key, (ushort*)pass.Keys + slot, headDim);
                BFloat16.Narrow(projected + Layout.ValueOffset(kvHead), (ushort*)pass.Values + slot, headDim);
            }
            else
            {
                new Span<float>(key, headDim).CopyTo(new Span<float>((float*)pass.Keys + slot, headDim));
                new Span<float>(projected + Layout.ValueOffset(kvHead), headDim).CopyTo(new Span<float>((float*)pass.Values + slot, headDim));
            }
        }
    }

    /// <summary>Stage 3, for the heads of one row that share keys, and some of the tokens.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(Pass pass, int batchIndex, int kvHead, int first, int last)
    {
        long seenBy = ((long)batchIndex * pass.Seq + first) * pass.KvSeq;
        var (from, to) = pass.RoundToBFloat16 ? AttentionKernels.VisibleKeyRange<BFloat16>((byte*)((ushort*)pass.Mask + seenBy), last - first, pass.KvSeq)
            : AttentionKernels.VisibleKeyRange<Float32>((byte*)((float*)pass.Mask + seenBy), last - first, pass.KvSeq);
        int each = heads / kvHeads, tokens = last - first, queries = each * tokens, keys = to - from, pitch = (keys + 15) / 16 * 16;
        bool pairs = keys >= 64 && BFloat16Gemm.Supports(pass.DType, queries); // fewer keys than a panel has room for are not worth one
        float* query = ScratchBuffer.GetFloats(2, (long)queries * (2 * headDim + pitch)), mixed = query + (long)queries * headDim, scores = mixed + (long)queries * headDim;
        for (int i = 0; i < queries; i++)
        {
            int token = first + i % tokens;
            float* own = query + (long)i * headDim;
            new Span<float>(pass.Qkv + ((long)batchIndex * pass.Seq + token) * pass.QkvSize + Layout.QueryOffset(kvHead * each + i / tokens), headDim).CopyTo(new Span<float>(own, headDim));
            if (QueryScale != 1)
            {
                for (int d = 0; d < headDim; d++) own[d] *= (float)QueryScale;
                if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(own, headDim);
            }
            if (pass.QueryNorm is { } norm) norm.Apply(own, own, headDim);
            ApplyRotary(pass, own, batchIndex, token);
        }
        new Span<float>(mixed, queries * (headDim + pitch)).Clear();
        long slots = ((long)(batchIndex * kvHeads + kvHead) * pass.Capacity + from) * headDim;
        if (pairs) BFloat16Gemm.Multiply(PackBFloat16(query, headDim, queries, headDim, isInputMajor: false), (ushort*)pass.Keys + slots, null, isInputMajor: false, queries, headDim, keys, scores, null, pitch, 0, keys);
        else if (pass.RoundToBFloat16) GemmNT.MultiplyAdd<BFloat16>(query, (byte*)((ushort*)pass.Keys + slots), queries, headDim, scores, pitch, 0, keys);
        else GemmNT.MultiplyAdd<Float32>(query, (byte*)((float*)pass.Keys + slots), queries, headDim, scores, pitch, 0, keys);
        for (int i = 0; i < queries; i++)
        {
            int head = kvHead * each + i / tokens, token = first + i % tokens;
            long at = (long)batchIndex * pass.Seq + token;
            if (pass.RoundToBFloat16) AttentionKernels.Softmax<BFloat16>(scores + (long)i * pitch, (byte*)((ushort*)pass.Mask + at * pass.KvSeq + from), keys, scale, SoftCap, UpcastScores);
            else AttentionKernels.Softmax<Float32>(scores + (long)i * pitch, (byte*)((float*)pass.Mask + at * pass.KvSeq + from), keys, scale, SoftCap, UpcastScores);
            if (pass.Probabilities == 0) continue; // where they are wanted they were made of zeros
            long seen = (((long)batchIndex * heads + head) * pass.Seq + token) * pass.KvSeq + from;
            if (pass.RoundToBFloat16) BFloat16.Narrow(scores + (long)i * pitch, (ushort*)pass.Probabilities + seen, keys);
            else new Span<float>(scores + (long)i * pitch, keys).CopyTo(new Span<float>((float*)pass.Probabilities + seen, keys));
        }
        if (pairs) BFloat16Gemm.Multiply(PackBFloat16(scores, pitch, queries, keys, isInputMajor: true), (ushort*)pass.Values + slots, null, isInputMajor: true, queries, keys, headDim, mixed, null, headDim, 0, headDim);
        else if (pass.RoundToBFloat16) GemmNN.MultiplyAdd<BFloat16>(scores, pitch, (byte*)((ushort*)pass.Values + slots), queries, keys, headDim, mixed, headDim, 0, headDim);
        else GemmNN.MultiplyAdd<Float32>(scores, pitch, (byte*)((float*)pass.Values + slots), queries, keys, headDim, mixed, headDim, 0, headDim);
        for (int i = 0; i < queries; i++)
        {
            float* own = mixed + (long)i * headDim;
            if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(own, headDim);
            new Span<float>(own, headDim).CopyTo(new Span<float>(pass.AttentionOutput + (((long)batchIndex * pass.Seq + first + i % tokens) * heads + kvHead * each + i / tokens) * headDim, headDim));
        }
    }

    private static ushort* PackBFloat16(float* x, long xStride, int rows, int inFeatures, bool isInputMajor)
    {
        ushort* halves = BFloat16Gemm.ScratchForPackedInput(rows, inFeatures, isInputMajor);
        BFloat16Gemm.PackInput(x, xStride, rows, inFeatures, isInputMajor, halves, 0, rows);
        return halves;
    }

    /// <summary>x cos + rotate_half(x) sin for the first part of a head's width.</summary>
    private static void ApplyRotary(Pass pass, float* x, int batchIndex, int token)
    {
        if (pass.RotaryDim == 0) return;
        int half = pass.RotaryDim / 2;
        long at = ((long)batchIndex * pass.Seq + token) * pass.RotaryDim;
        if (pass.RoundToBFloat16) AttentionKernels.ApplyRotary<BFloat16>(x, half, (byte*)pass.Cosines + 2 * at, (byte*)pass.Sines + 2 * at);
        else AttentionKernels.ApplyRotary<Float32>(x, half, (byte*)pass.Cosines + 4 * at, (byte*)pass.Sines + 4 * at);
    }

    /// <summary>What the stages of one call share.</summary>
    private struct Pass
    {
        public ScalarType DType;
        public bool RoundToBFloat16;
        public int Batch, Seq, CachedLength, KvSeq, Capacity, RotaryDim, QkvSize;
        public nint Mask, Cosines, Sines, Keys, Values, Probabilities;
        public float* Qkv, AttentionOutput;
        public NormKernel? QueryNorm, KeyNorm;
    }
}
