using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Ndif.Models.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// The self-attention of a layer in four stages, for passes in which no module inside is hooked. Intermediate results are plain memory
/// instead of tensors.
/// <code>
/// 1. project      queries, keys and values of all tokens                                  parallel over output features
/// 2. append       normalize and rotate the keys; write keys and values to the cache       parallel over heads; for a few
/// 3. attend       normalize and rotate the queries; scores, softmax, weighted sum         tokens one loop with stage 3
/// 4. project      the attention output                                                    parallel over output features
/// </code>
/// </summary>
/// <remarks>
/// Rounds where the eager implementation does (src/Models/Layers/EagerAttention.cs), so a bfloat16 model gives the values of the eager
/// implementation up to the order of sums.
/// </remarks>
internal sealed unsafe class FusedAttention(SiteModule module, int layer, int heads, int kvHeads, int headDim, double scale)
{
    /// <summary>The queries of a block: their scores against a thousand keys stay in the second-level cache.</summary>
    private const int QueryBlock = 64;

    /// <summary>Attention with fewer multiplications than this runs on one thread.</summary>
    private const long MinParallelMultiplications = 1 << 18;

    /// <summary>The projections of queries, keys and values: one layer for each, or one for all.</summary>
    public required IReadOnlyList<ILinearLayer> Projections { get; init; }

    public required ILinearLayer OutputProjection { get; init; }

    /// <summary>The position of each head in the projections of a token; by default all queries, all keys, all values.</summary>
    public QkvLayout Layout { get; init; } = QkvLayout.Separate(heads, kvHeads, headDim);

    /// <summary>The norm of the queries, applied before they are rotated.</summary>
    public INormLayer? QueryNorm { get; init; }

    /// <summary>The norm of the keys, applied before they are rotated.</summary>
    public INormLayer? KeyNorm { get; init; }

    /// <summary>The norms run over all heads of a token together (OLMo 2) instead of over each head (Qwen3).</summary>
    public bool NormalizesAllHeads { get; init; }

    /// <summary>Scores are limited to (-cap, cap) by cap · tanh(score / cap), if given.</summary>
    public double? SoftCap { get; init; }

    /// <summary>Scores are computed in float32 whatever the dtype.</summary>
    public bool UpcastScores { get; init; }

    /// <summary>Queries and keys are rotated in float32 whatever the dtype, and rounded after it.</summary>
    public bool RotatesInFloat32 { get; init; }

    /// <summary>The dimensions that are rotated together.</summary>
    public RotaryPairs RotaryPairs { get; init; }

    /// <summary>A factor that multiplies the queries before they are normalized.</summary>
    public double QueryScale { get; init; } = 1;

    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq], added to the scores; null if each token sees all.</param>
    /// <param name="positionEmbeddings">Cosines and sines, each [batch, seq, rotaryDim], or null if nothing is rotated.</param>
    /// <returns>
    /// The output [batch, seq, hidden] and, if a hook may read them, the probabilities [batch, heads, seq, kvSeq]; null if the eager
    /// implementation has to run.
    /// </returns>
    [FastPath]
    public object?[]? TryForward(Tensor hidden, KeyValueCache? cache, Tensor? mask, object?[]? positionEmbeddings = null)
    {
        if (!LinearKernels.Supports(hidden) || hidden.dim() != 3 || headDim % 16 != 0 || headDim > 1024 || SiteHook.HasHooksInside(module))
            return null;
        var pass = new Pass
        {
            DType = hidden.dtype, Batch = (int)hidden.size(0), Seq = (int)hidden.size(1), CachedLength = (int)(cache?.Length ?? 0),
            RoundToBFloat16 = hidden.dtype == ScalarType.BFloat16, QkvSize = (int)Layout.Size,
        };
        using Tensor? allVisible = mask is null ? zeros([pass.Batch, 1, pass.Seq, pass.CachedLength + pass.Seq], pass.DType) : null;
        if (!IsSupported(hidden, mask ?? allVisible!, positionEmbeddings, ref pass)) return null;
        int tokens = pass.Batch * pass.Seq;
        if (QueryNorm is not null && (pass.QueryNorm = QueryNorm.GetKernel(pass.DType)) is null) return null;
        if (KeyNorm is not null && (pass.KeyNorm = KeyNorm.GetKernel(pass.DType)) is null) return null;
        if (OutputProjection.View is not { } output || output.DType != pass.DType || output.InFeatures != heads * headDim
            || output.KernelFor(tokens) == ProductKernel.Libtorch) return null;

        if (!Project(hidden, tokens, ref pass)) return null; // 1
        if (NormalizesAllHeads) NormalizeAllHeads(tokens, ref pass);
        pass.AttentionOutput = ScratchBuffer.GetFloats(4, (long)tokens * heads * headDim); // [batch, seq, heads, headDim]
        ReserveCacheSlots(cache, ref pass);
        // [batch, heads, seq, kvSeq]
        Tensor? probabilities = HasProbabilityObserver() ? zeros([pass.Batch, heads, pass.Seq, pass.KvSeq], pass.DType) : null;
        if (probabilities is not null) pass.Probabilities = NativeTensor.DataPointer(probabilities.Handle);
        Attend(pass); // 2, 3

        Tensor result = empty([pass.Batch, pass.Seq, output.OutFeatures], pass.DType); // [batch, seq, hidden]
        LinearKernels.Multiply(output, pass.AttentionOutput, tokens, NativeTensor.DataPointer(result.Handle)); // 4
        FastPathCounter.Count++;
        return [result, probabilities];
    }

    /// <summary>
    /// The memory that stage 2 writes keys and values to: the slots of the cache, or scratch memory if there is no cache.
    /// </summary>
    private void ReserveCacheSlots(KeyValueCache? cache, ref Pass pass)
    {
        pass.Rows = (RowSlots*)ScratchBuffer.GetFloats(7, pass.Batch * sizeof(RowSlots) / sizeof(float));
        if (cache is null)
        {
            long rowSize = (long)kvHeads * pass.Seq * headDim; // floats, enough for either element type
            float* memory = ScratchBuffer.GetFloats(5, 2 * pass.Batch * rowSize);
            for (int row = 0; row < pass.Batch; row++, memory += 2 * rowSize)
                pass.Rows[row] = new RowSlots { Keys = (nint)memory, Values = (nint)(memory + rowSize), Capacity = pass.Seq };
            return;
        }
        IReadOnlyList<CachedRow> rows = cache.Reserve(layer, pass.Batch, kvHeads, pass.Seq, headDim, pass.DType);
        for (int row = 0; row < pass.Batch; row++)
        {
            var (keys, values, capacity) = rows[row].Addresses(layer);
            pass.Rows[row] = new RowSlots
            {
                Keys = keys, Values = values, Capacity = (int)capacity, FirstColumn = pass.CachedLength - (int)rows[row].Length,
            };
        }
    }

    /// <summary>
    /// Whether shapes, element types and layouts are those that the stages read; sets the fields of <paramref name="pass"/> for them.
    /// </summary>
    private bool IsSupported(Tensor hidden, Tensor mask, object?[]? positionEmbeddings, ref Pass pass)
    {
        if (mask.dim() != 4 || mask.dtype != pass.DType || !mask.is_contiguous() || mask.size(0) != pass.Batch || mask.size(1) != 1
            || mask.size(2) != pass.Seq) return false;
        pass.KvSeq = (int)mask.size(3);
        if (pass.KvSeq != pass.CachedLength + pass.Seq) return false;
        pass.Mask = NativeTensor.DataPointer(mask.Handle);
        if (positionEmbeddings is null) return true;
        if (positionEmbeddings is not [Tensor cosines, Tensor sines]) return false;
        pass.RotaryDim = (int)cosines.size(-1);
        ScalarType rotaryType = RotatesInFloat32 ? ScalarType.Float32 : pass.DType;
        foreach (Tensor part in (ReadOnlySpan<Tensor>)[cosines, sines])
            if (part.dim() != 3 || part.dtype != rotaryType || !part.is_contiguous() || part.size(0) != pass.Batch
                || part.size(1) != pass.Seq || part.size(2) != pass.RotaryDim) return false;
        if (pass.RotaryDim > headDim || pass.RotaryDim % 2 != 0) return false;
        (pass.Cosines, pass.Sines) = (NativeTensor.DataPointer(cosines.Handle), NativeTensor.DataPointer(sines.Handle));
        return true;
    }

    /// <summary>
    /// Whether this module or one of the modules that contain it is hooked, so that the probabilities in its output may be read.
    /// </summary>
    private bool HasProbabilityObserver()
    {
        SiteModule? ancestor = module;
        for (int i = 0; i < 3 && ancestor is not null; i++, ancestor = ancestor.Parent)
            if (SiteHook.ForModule(ancestor.Index) is not null) return true;
        return false;
    }

    /// <summary>Stage 1: writes all projections of a token to adjacent memory, [batch, seq, qkvSize].</summary>
    private bool Project(Tensor hidden, int tokens, ref Pass pass)
    {
        int qkvSize = pass.QkvSize, offset = 0;
        var views = new WeightView[Projections.Count];
        var offsets = new int[views.Length];
        for (int i = 0; i < views.Length; i++)
        {
            if (Projections[i].View is not { } view || view.DType != pass.DType || view.InFeatures != hidden.size(2)) return false;
            (views[i], offsets[i]) = (view, offset);
            offset += view.OutFeatures;
        }
        if (offset != qkvSize) return false;
        ProductKernel kernel = views[0].KernelFor(tokens);
        if (kernel == ProductKernel.Libtorch) return false;
        float* qkv = ScratchBuffer.GetFloats(1, (long)tokens * qkvSize);
        pass.Qkv = qkv;
        bool roundToBFloat16 = pass.RoundToBFloat16;
        using Tensor x = hidden.contiguous(); // [batch, seq, hidden]
        GemmInput input = GemmInput.Create(x, views[0], kernel);
        var partCounts = new int[views.Length];
        for (int i = 0; i < views.Length; i++) partCounts[i] = views[i].PartCount(tokens, kernel);
        KernelThreadPool.ParallelFor(partCounts.Sum(), part =>
        {
            int projection = 0;
            while (part >= partCounts[projection]) part -= partCounts[projection++];
            var (first, last) = views[projection].PartRange(part, partCounts[projection]);
            float* y = qkv + offsets[projection];
            views[projection].Multiply(input, y, qkvSize, first, last);
            if (roundToBFloat16)
                for (int m = 0; m < tokens; m++) VectorMath.RoundToBFloat16(y + (long)m * qkvSize + first, last - first);
        }, views[0].Address);
        GC.KeepAlive(x);
        return true;
    }

    /// <summary>Normalizes all query heads of a token as one row, and all key heads. Stages 2 and 3 then normalize nothing.</summary>
    private void NormalizeAllHeads(int tokens, ref Pass pass)
    {
        float* qkv = pass.Qkv;
        NormKernel? queryNorm = pass.QueryNorm, keyNorm = pass.KeyNorm;
        int qkvSize = pass.QkvSize;
        for (int m = 0; m < tokens; m++)
        {
            float* q = qkv + (long)m * qkvSize, k = q + heads * headDim;
            queryNorm?.Apply(q, q, heads * headDim);
            keyNorm?.Apply(k, k, kvHeads * headDim);
        }
        (pass.QueryNorm, pass.KeyNorm) = (null, null);
    }

    /// <summary>Stages 2 and 3.</summary>
    private void Attend(Pass pass)
    {
        int queriesPerKvHead = heads / kvHeads, blockSize = Math.Max(1, QueryBlock / queriesPerKvHead), batchKvHeads = pass.Batch * kvHeads;
        if (pass.Seq <= blockSize)
        {
            bool isSingleThreaded = (long)pass.Batch * pass.Seq * pass.KvSeq * heads * headDim < MinParallelMultiplications;
            KernelThreadPool.ParallelFor(isSingleThreaded ? 1 : batchKvHeads, part =>
            {
                for (int i = part; i < (isSingleThreaded ? batchKvHeads : part + 1); i++)
                {
                    AppendToCache(pass, i / kvHeads, i % kvHeads);
                    Attend(pass, i / kvHeads, i % kvHeads, 0, pass.Seq);
                }
            });
            return;
        }
        int blocks = (pass.Seq + blockSize - 1) / blockSize;
        KernelThreadPool.ParallelFor(batchKvHeads, part => AppendToCache(pass, part / kvHeads, part % kvHeads));
        KernelThreadPool.ParallelFor(batchKvHeads * blocks, part =>
        {
            int index = part / blocks, first = part % blocks * blockSize;
            Attend(pass, index / kvHeads, index % kvHeads, first, Math.Min(first + blockSize, pass.Seq));
        });
    }

    /// <summary>Stage 2 for one key-value head of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AppendToCache(Pass pass, int batchIndex, int kvHead)
    {
        float* key = stackalloc float[headDim];
        RowSlots row = pass.Rows[batchIndex];
        for (int token = 0; token < pass.Seq; token++)
        {
            float* projected = pass.Qkv + ((long)batchIndex * pass.Seq + token) * pass.QkvSize;
            new Span<float>(projected + Layout.KeyOffset(kvHead), headDim).CopyTo(new Span<float>(key, headDim));
            if (pass.KeyNorm is { } norm) norm.Apply(key, key, headDim);
            ApplyRotary(pass, key, batchIndex, token);
            long slotOffset = row.SlotOffset(kvHead, pass.CachedLength + token) * headDim;
            if (pass.RoundToBFloat16)
            {
                BFloat16.Narrow(key, (ushort*)row.Keys + slotOffset, headDim);
                BFloat16.Narrow(projected + Layout.ValueOffset(kvHead), (ushort*)row.Values + slotOffset, headDim);
            }
            else
            {
                new Span<float>(key, headDim).CopyTo(new Span<float>((float*)row.Keys + slotOffset, headDim));
                new Span<float>(projected + Layout.ValueOffset(kvHead), headDim)
                    .CopyTo(new Span<float>((float*)row.Values + slotOffset, headDim));
            }
        }
    }

    /// <summary>
    /// Stage 3 for the query heads of one row that share a key-value head, and the tokens from <paramref name="first"/> to
    /// <paramref name="last"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Attend(Pass pass, int batchIndex, int kvHead, int first, int last)
    {
        int masked = pass.RoundToBFloat16
            ? AttentionKernels.LeadingMaskedQueries<BFloat16>(pass.MaskRow(batchIndex, first), last - first, pass.KvSeq)
            : AttentionKernels.LeadingMaskedQueries<Float32>(pass.MaskRow(batchIndex, first), last - first, pass.KvSeq);
        if (masked > 0 && masked < last - first)
        {
            // the keys of padding do not become keys of the tokens after it, so that the order of their sums is that of the row alone
            Attend(pass, batchIndex, kvHead, first, first + masked);
            Attend(pass, batchIndex, kvHead, first + masked, last);
            return;
        }
        var (from, to) = pass.RoundToBFloat16
            ? AttentionKernels.VisibleKeyRange<BFloat16>(pass.MaskRow(batchIndex, first), last - first, pass.KvSeq)
            : AttentionKernels.VisibleKeyRange<Float32>(pass.MaskRow(batchIndex, first), last - first, pass.KvSeq);
        RowSlots slots = pass.Rows[batchIndex];
        from = Math.Max(from, slots.FirstColumn);
        int queriesPerKvHead = heads / kvHeads, tokens = last - first, queries = queriesPerKvHead * tokens;
        // in a sliding window each query has keys of its own first one on, so that the order of its sums depends on no other query
        bool isWindow = FirstKey(pass, batchIndex, last - 1) > from;
        int keys = to - from, scoreStride = (keys + 15) / 16 * 16 + (isWindow ? 16 : 0);
        bool useBFloat16Gemm = keys >= 64 && BFloat16Gemm.Supports(pass.DType, queries); // fewer keys do not fill a panel
        float* query = ScratchBuffer.GetFloats(2, (long)queries * (2 * headDim + scoreStride)); // [queries, headDim]
        float* attention = query + (long)queries * headDim;                                   // [queries, headDim]
        float* scores = attention + (long)queries * headDim;                                  // [queries, scoreStride]
        for (int i = 0; i < queries; i++)
        {
            int head = kvHead * queriesPerKvHead + i / tokens, token = first + i % tokens;
            float* row = query + (long)i * headDim;
            float* projected = pass.Qkv + ((long)batchIndex * pass.Seq + token) * pass.QkvSize + Layout.QueryOffset(head);
            new Span<float>(projected, headDim).CopyTo(new Span<float>(row, headDim));
            if (QueryScale != 1)
            {
                for (int d = 0; d < headDim; d++) row[d] *= (float)QueryScale;
                if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(row, headDim);
            }
            if (pass.QueryNorm is { } norm) norm.Apply(row, row, headDim);
            ApplyRotary(pass, row, batchIndex, token);
        }
        new Span<float>(attention, queries * (headDim + scoreStride)).Clear();
        long slotOffset = slots.SlotOffset(kvHead, from) * headDim;
        // scores = query x keysᵀ
        if (useBFloat16Gemm)
            BFloat16Gemm.Multiply(PackBFloat16(query, headDim, queries, headDim, isInputMajor: false), (ushort*)slots.Keys + slotOffset,
                null, isInputMajor: false, queries, headDim, keys, scores, null, scoreStride, 0, keys);
        else if (pass.RoundToBFloat16)
            GemmNT.MultiplyAdd<BFloat16>(query, (byte*)((ushort*)slots.Keys + slotOffset), queries, headDim, scores, scoreStride, 0, keys);
        else
            GemmNT.MultiplyAdd<Float32>(query, (byte*)((float*)slots.Keys + slotOffset), queries, headDim, scores, scoreStride, 0, keys);
        for (int i = 0; i < queries; i++)
        {
            int head = kvHead * queriesPerKvHead + i / tokens, token = first + i % tokens;
            int before = isWindow ? FirstKey(pass, batchIndex, token) - from : 0;
            byte* mask = pass.MaskRow(batchIndex, token, from + before);
            float* row = scores + (long)i * scoreStride;
            new Span<float>(row, before).Clear();
            if (pass.RoundToBFloat16)
                AttentionKernels.Softmax<BFloat16>(row + before, mask, keys - before, scale, SoftCap, UpcastScores);
            else
                AttentionKernels.Softmax<Float32>(row + before, mask, keys - before, scale, SoftCap, UpcastScores);
            if (pass.Probabilities == 0) continue;
            // the tensor of probabilities was created as zeros, which is right for the masked keys
            long probabilityRow = (((long)batchIndex * heads + head) * pass.Seq + token) * pass.KvSeq + from;
            if (pass.RoundToBFloat16) BFloat16.Narrow(row, (ushort*)pass.Probabilities + probabilityRow, keys);
            else new Span<float>(row, keys).CopyTo(new Span<float>((float*)pass.Probabilities + probabilityRow, keys));
        }
        // attention = probabilities x values
        if (useBFloat16Gemm)
            BFloat16Gemm.Multiply(PackBFloat16(scores, scoreStride, queries, keys, isInputMajor: true), (ushort*)slots.Values + slotOffset,
                null, isInputMajor: true, queries, keys, headDim, attention, null, headDim, 0, headDim);
        else if (pass.RoundToBFloat16)
            GemmNN.MultiplyAdd<BFloat16>(scores, scoreStride, (byte*)((ushort*)slots.Values + slotOffset), queries, keys, headDim,
                attention, headDim, 0, headDim);
        else
            GemmNN.MultiplyAdd<Float32>(scores, scoreStride, (byte*)((float*)slots.Values + slotOffset), queries, keys, headDim,
                attention, headDim, 0, headDim);
        for (int i = 0; i < queries; i++)
        {
            int head = kvHead * queriesPerKvHead + i / tokens, token = first + i % tokens;
            float* row = attention + (long)i * headDim;
            if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(row, headDim);
            float* output = pass.AttentionOutput + (((long)batchIndex * pass.Seq + token) * heads + head) * headDim;
            new Span<float>(row, headDim).CopyTo(new Span<float>(output, headDim));
        }
    }

    /// <summary>The first key that a token attends to.</summary>
    private static int FirstKey(Pass pass, int batchIndex, int token) => pass.RoundToBFloat16
        ? AttentionKernels.VisibleKeyRange<BFloat16>(pass.MaskRow(batchIndex, token), 1, pass.KvSeq).From
        : AttentionKernels.VisibleKeyRange<Float32>(pass.MaskRow(batchIndex, token), 1, pass.KvSeq).From;

    private static ushort* PackBFloat16(float* x, long xStride, int rows, int inFeatures, bool isInputMajor)
    {
        ushort* packed = BFloat16Gemm.ScratchForPackedInput(rows, inFeatures, isInputMajor);
        BFloat16Gemm.PackInput(x, xStride, rows, inFeatures, isInputMajor, packed, 0, rows);
        return packed;
    }

    /// <summary>Rotates the first <see cref="Pass.RotaryDim"/> elements of a head: x cos + rotate_half(x) sin.</summary>
    private void ApplyRotary(Pass pass, float* x, int batchIndex, int token)
    {
        if (pass.RotaryDim == 0) return;
        int half = pass.RotaryDim / 2;
        long offset = ((long)batchIndex * pass.Seq + token) * pass.RotaryDim;
        if (RotaryPairs is not RotaryPairs.Halves)
        {
            bool isRepeated = RotaryPairs is RotaryPairs.AdjacentRepeated;
            if (pass.RoundToBFloat16 && !RotatesInFloat32)
                AttentionKernels.ApplyAdjacentRotary<BFloat16>(
                    x, half, (byte*)pass.Cosines + 2 * offset, (byte*)pass.Sines + 2 * offset, isRepeated);
            else
                AttentionKernels.ApplyAdjacentRotary<Float32>(
                    x, half, (byte*)pass.Cosines + 4 * offset, (byte*)pass.Sines + 4 * offset, isRepeated);
            if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(x, pass.RotaryDim);
            return;
        }
        if (pass.RoundToBFloat16 && !RotatesInFloat32)
        {
            AttentionKernels.ApplyRotary<BFloat16>(x, half, (byte*)pass.Cosines + 2 * offset, (byte*)pass.Sines + 2 * offset);
            return;
        }
        AttentionKernels.ApplyRotary<Float32>(x, half, (byte*)pass.Cosines + 4 * offset, (byte*)pass.Sines + 4 * offset);
        if (pass.RoundToBFloat16) VectorMath.RoundToBFloat16(x, pass.RotaryDim);
    }

    /// <summary>The shapes and addresses of one call, which the stages share.</summary>
    private struct Pass
    {
        public ScalarType DType;
        public bool RoundToBFloat16;
        public int Batch, Seq, CachedLength, KvSeq, RotaryDim, QkvSize;

        /// <summary>[batch, 1, seq, kvSeq]</summary>
        public nint Mask;

        /// <summary>[batch, seq, rotaryDim]</summary>
        public nint Cosines, Sines;

        /// <summary>[batch]</summary>
        public RowSlots* Rows;

        /// <summary>[batch, heads, seq, kvSeq], or 0</summary>
        public nint Probabilities;

        /// <summary>[batch, seq, qkvSize]</summary>
        public float* Qkv;

        /// <summary>[batch, seq, heads, headDim]</summary>
        public float* AttentionOutput;

        public NormKernel? QueryNorm, KeyNorm;

        /// <summary>The address in the mask of a key of a token.</summary>
        public readonly byte* MaskRow(int batchIndex, int token, int key = 0) =>
            (byte*)Mask + (((long)batchIndex * Seq + token) * KvSeq + key) * (RoundToBFloat16 ? sizeof(ushort) : sizeof(float));
    }

    /// <summary>The memory of the keys and values of one row.</summary>
    private struct RowSlots
    {
        /// <summary>[kvHeads, capacity, headDim]</summary>
        public nint Keys, Values;

        public int Capacity;

        /// <summary>The column of the mask that belongs to the first slot; negative if the first slots are padding.</summary>
        public int FirstColumn;

        public readonly long SlotOffset(int kvHead, int column) => (long)kvHead * Capacity + column - FirstColumn;
    }
}
