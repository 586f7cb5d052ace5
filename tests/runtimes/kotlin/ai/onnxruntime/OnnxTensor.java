package ai.onnxruntime;

import java.nio.LongBuffer;

public class OnnxTensor extends OnnxTensorLike {
    public static OnnxTensor createTensor(OrtEnvironment env, Object data) throws OrtException {
        return null;
    }

    public static OnnxTensor createTensor(OrtEnvironment env, String[] data, long[] shape)
            throws OrtException {
        return null;
    }

    public static OnnxTensor createTensor(OrtEnvironment env, LongBuffer data, long[] shape)
            throws OrtException {
        return null;
    }

    @Override
    public Object getValue() throws OrtException {
        return null;
    }

    @Override
    public void close() {}
}
